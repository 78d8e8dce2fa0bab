"""``taskfleet metrics-api``: tell HorizontalPodAutoscalers how many workers pools need."""

import asyncio
import logging
from pathlib import Path

import click

from taskfleet.cli.options import kubeconfig_option
from taskfleet.cli.running import stop_signal
from taskfleet.metricsapi.service import MetricsApiOptions, run_metrics_api
from taskfleet.telemetry.logs import configure_logs

log = logging.getLogger("taskfleet.metricsapi")

EPILOG = """
\b
It serves external.metrics.k8s.io to the API server of the cluster, which an APIService must lead here; the Helm chart
does that with externalMetrics.enabled. /healthz, /readyz and /metrics are served on --status-port.

\b
Example:
  taskfleet metrics-api --tls /etc/taskfleet/tls
"""


@click.command(name="metrics-api", epilog=EPILOG)
@kubeconfig_option
@click.option(
    "--tls",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder with tls.crt and tls.key, read again when they change.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8443,
    show_default=True,
    help="Port of TLS, for the API server; 0 takes any free one.",
)
@click.option(
    "--status-port",
    type=click.IntRange(0, 65535),
    default=8423,
    show_default=True,
    help="Port of the status server; 0 takes any free one.",
)
def metrics_api(kubeconfig: str | None, tls: Path, port: int, status_port: int) -> None:
    """Tell HorizontalPodAutoscalers how many workers pools need."""
    configure_logs()
    asyncio.run(_until_signalled(MetricsApiOptions(kubeconfig, tls, port, status_port)))


async def _until_signalled(options: MetricsApiOptions) -> None:
    stop = stop_signal()

    def serving(port: int, status_port: int) -> None:
        log.info("metrics API started", extra={"port": port, "status_port": status_port})

    await run_metrics_api(options, stop, serving)
    log.info("metrics API stopped")
