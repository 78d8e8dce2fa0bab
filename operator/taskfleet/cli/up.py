"""``taskfleet up``: queues and worker pools on this machine, with processes in place of Deployments."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from taskfleet.cli.options import F, manifests_option, output_option
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.settings import load_settings
from taskfleet.gateway.service import USUAL_PORT as GATEWAY_PORT
from taskfleet.local.app import UpOptions, run_up
from taskfleet.local.status import HOST, USUAL_PORT
from taskfleet.local.view import open_view

EPILOG = """
\b
API keys: an endpoint with
  apiKeySecretRef: {name: llm-key, key: token}
reads TASKFLEET_SECRET_LLM_KEY_TOKEN: the Secret's name and key in capitals, anything but letters and digits as _.

\b
The data folder keeps the tasks, their results and the logs. Ctrl-C (or SIGTERM) lets running tasks finish, twice
ends at once; either way nothing is lost, and the next `up` on the folder goes on. Edited manifests are taken over
while it runs; an edit that is wrong is reported, and what ran goes on.

\b
Only this machine reaches the metrics and the health; their address is told at the start and is `status_url` in
up.json in the data folder. They are the controller's: worker processes serve theirs in a cluster only.

\b
Examples:
  taskfleet up -f manifests/quickstart/
  taskfleet up -f queue.yaml -f pool.yaml --data fleet-data
  taskfleet up -f manifests/ --until-empty
"""


def _port_option(name: str, what: str, usual: int) -> Callable[[F], F]:
    return click.option(
        name,
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help=f"Port of {what} on {HOST}; 0 takes any free one (default: {usual}, or any free one when that is taken).",
    )


@click.command(epilog=EPILOG)
@manifests_option("Manifests of TaskQueues and WorkerPools; may be given several times.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for tasks, results and logs (default: .taskfleet).",
)
@click.option(
    "-n",
    "--namespace",
    metavar="NS",
    help='Namespace of the objects that name none (default: "default").',
)
@click.option(
    "--until-empty",
    is_flag=True,
    help="End when all queues are empty and nothing runs; a new data folder waits for its first task. "
    "Exit code 1 when tasks failed.",
)
@_port_option("--metrics-port", "/metrics, /healthz and /readyz", USUAL_PORT)
@_port_option("--gateway-port", "the gateway (OpenAI's API, tasks, queues)", GATEWAY_PORT)
@output_option
def up(
    manifests: tuple[Path, ...],
    data: Path | None,
    namespace: str | None,
    until_empty: bool,
    metrics_port: int | None,
    gateway_port: int | None,
    output: Output,
) -> int:
    """Run the queues and worker pools of manifests on this machine, with a store of its own."""
    settings = load_settings()
    options = UpOptions(
        manifests=manifests,
        data=settings.find("data", data).value,
        namespace=settings.find("namespace", namespace).value or "default",
        until_empty=until_empty,
        metrics_port=metrics_port,
        gateway_port=gateway_port,
    )
    with closing(open_view(as_json=output.as_json)) as view:
        return run_async(run_up(options, view))
