"""``taskfleet controller``: run the controller, in a pod or anywhere a kubeconfig reaches."""

import asyncio
import logging
import re

import click

from taskfleet.cli.options import kubeconfig_option
from taskfleet.cli.running import stop_signal
from taskfleet.cli.storeurl import url_option
from taskfleet.controller.cluster.objects import WorkerDefaults
from taskfleet.controller.cluster.operator import ControllerOptions, run_controller
from taskfleet.telemetry.logs import configure_logs
from taskfleet.worker import environment

log = logging.getLogger("taskfleet.controller")

_LEASE = re.compile(r"(?P<namespace>[a-z0-9-]{1,63})/(?P<name>[a-z0-9.-]{1,253})")

EPILOG = """
\b
It logs in with --kubeconfig or KUBECONFIG, else as the service account of its pod, else with ~/.kube/config.
/healthz, /readyz and /metrics are served on --port.

\b
Examples:
  taskfleet controller --store-url valkey://localhost:6379
  taskfleet controller --lease infra/taskfleet --store-url valkey://valkey.infra:6379
  taskfleet controller --kubeconfig dev.yaml --namespace team-a,team-b --worker-store-url valkey://valkey.infra:6379
"""


def _namespace_and_name(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    found = _LEASE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not NAMESPACE/NAME, such as taskfleet-system/taskfleet-controller")
    return found["namespace"], found["name"]


@click.command(epilog=EPILOG)
@kubeconfig_option
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    default="",
    metavar="NS,...",
    help="Serve only these namespaces (default: the whole cluster).",
)
@click.option(
    "--store-url",
    envvar="TASKFLEET_STORE_URL",
    callback=url_option,
    required=True,
    metavar="URL",
    help="The store, as the controller reaches it.",
)
@click.option(
    "--worker-store-url",
    envvar="TASKFLEET_WORKER_STORE_URL",
    callback=url_option,
    metavar="URL",
    help="The store, as the worker pods reach it (default: the same).",
)
@click.option(
    "--worker-image",
    envvar="TASKFLEET_WORKER_IMAGE",
    required=True,
    metavar="IMAGE",
    help="Image of the workers of pools that name none.",
)
@click.option(
    "--lease",
    envvar="TASKFLEET_LEASE",
    callback=_namespace_and_name,
    metavar="NAMESPACE/NAME",
    help="Share the work with other controllers: the one that has this Lease acts (default: act alone).",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8421,
    show_default=True,
    help="Port of the status server; 0 takes any free one.",
)
def controller(
    kubeconfig: str | None,
    namespaces: str,
    store_url: str,
    worker_store_url: str | None,
    worker_image: str,
    lease: tuple[str, str] | None,
    port: int,
) -> None:
    """Turn TaskQueues and WorkerPools of a cluster into workers."""
    configure_logs()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for every probe of every endpoint
    options = ControllerOptions(
        kubeconfig=kubeconfig,
        namespaces=tuple(name.strip() for name in namespaces.split(",") if name.strip()),
        store_url=store_url,
        workers=WorkerDefaults(worker_image, worker_store_url or store_url),
        worker_environment=environment,
        port=port,
        lease=lease,
    )
    asyncio.run(_until_signalled(options))


async def _until_signalled(options: ControllerOptions) -> None:
    stop = stop_signal()

    def serving(port: int) -> None:
        where = ", ".join(options.namespaces) or "the whole cluster"
        log.info("controller started", extra={"port": port, "serves": where})

    await run_controller(options, stop, serving)
    log.info("controller stopped")
