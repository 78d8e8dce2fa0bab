"""``taskfleet gateway``: run the HTTP gateway in front of a store."""

import asyncio
import logging
from pathlib import Path

import click
import uvloop

from taskfleet.cli.running import stop_signal
from taskfleet.cli.storeurl import url_option
from taskfleet.cli.target import find_target
from taskfleet.core.task import QueueKey
from taskfleet.gateway.endpointkeys import mounted_api_keys, no_api_keys
from taskfleet.gateway.service import USUAL_PORT, GatewayOptions
from taskfleet.gateway.service import gateway as serving
from taskfleet.telemetry.logs import configure_logs

log = logging.getLogger("taskfleet.gateway")

EPILOG = """
\b
Keys are made with `taskfleet keys create`, and sent by clients as Authorization: Bearer KEY. The file is read again
when it changes. Without one only this machine may reach the gateway, and everyone on it may do everything.
/healthz, /readyz and /metrics are on the same port, and ask for no key. The files of --tls-cert and --tls-key are read
again when they change, too.

\b
Examples:
  taskfleet gateway --queue demo
  taskfleet gateway --store-url valkey://valkey:6379 --host 0.0.0.0 --keys keys.yaml
  taskfleet gateway --host 0.0.0.0 --keys keys.yaml --tls-cert tls.crt --tls-key tls.key
"""


@click.command(epilog=EPILOG)
@click.option(
    "--store-url",
    envvar="TASKFLEET_STORE_URL",
    callback=url_option,
    metavar="URL",
    help="The store (default: that of the running `up` on the data folder).",
)
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Data folder of that `up`.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=USUAL_PORT, show_default=True, help="Port; 0 takes any free one."
)
@click.option("--keys", type=click.Path(path_type=Path), metavar="FILE", help="API keys, as YAML.")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve HTTPS with this certificate (PEM, with those between it and its authority).",
)
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="The key of --tls-cert (PEM).")
@click.option(
    "--webhooks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Whom to tell of tasks and batches that ended, as YAML; read again when it changes.",
)
@click.option(
    "--files",
    default="taskfleet-files",
    show_default=True,
    metavar="DIR|s3://BUCKET/PREFIX",
    help="What batches read and write; gateways of one store share it. For a bucket AWS_ENDPOINT_URL, AWS_REGION, "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say where it is.",
)
@click.option(
    "--secrets",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="API keys of endpoints that queues let the gateway call itself: files NAMESPACE/SECRET/KEY.",
)
@click.option("--console/--no-console", default=True, show_default=True, help="The page /console, for people.")
@click.option("--queue", metavar="QUEUE", help="Queue of requests that name none (default: the only one there is).")
@click.option("-n", "--namespace", metavar="NS", help="Namespace of queues that are named without one.")
@click.option(
    "--grace",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="Time for what is being answered when it is to stop.",
)
def gateway(
    store_url: str | None,
    data: Path | None,
    host: str,
    port: int,
    keys: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    webhooks: Path | None,
    files: str,
    secrets: Path | None,
    console: bool,
    queue: str | None,
    namespace: str | None,
    grace: int,
) -> None:
    """Serve OpenAI's API, tasks and batches over HTTP, in front of the queues of a store."""
    configure_logs()
    if store_url is None:
        target = find_target(data, namespace)
        store_url, namespace = target.store_url, target.namespace
    space = namespace or "default"
    options = GatewayOptions(
        store_url=store_url,
        host=host,
        port=port,
        setting="--port",
        namespace=space,
        usual=None if queue is None else _queue(queue, space),
        keys=keys,
        files=files,
        grace_seconds=grace,
        api_keys=no_api_keys if secrets is None else mounted_api_keys(secrets),
        console=console,
        tls=_tls(tls_cert, tls_key),
        webhooks=webhooks,
    )
    uvloop.run(_until_signalled(options))


async def _until_signalled(options: GatewayOptions) -> None:
    stop = stop_signal()
    async with serving(options) as here:
        log.info("gateway started", extra={"url": here.url, "keys": str(options.keys or "none: this machine only")})
        stopped, broken = asyncio.create_task(stop.wait()), asyncio.create_task(here.until_broken())
        await asyncio.wait((stopped, broken), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if broken.done():
            broken.result()
        broken.cancel()
    log.info("gateway stopped")


def _tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--tls-cert: it and --tls-key go together; give both, or neither")
    return certificate, key


def _queue(text: str, namespace: str) -> QueueKey:
    try:
        return QueueKey.parse(text) if "/" in text else QueueKey(namespace, text)
    except ValueError as error:
        raise click.UsageError(f"--queue: {error}") from error
