"""The process: TLS for the API server, /healthz, /readyz and /metrics in the clear, and certificates that change."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from taskfleet.core.errors import InputError
from taskfleet.kube import KubeClient, KubeError
from taskfleet.metricsapi.app import metrics_app
from taskfleet.metricsapi.gate import FrontProxy, NoFrontProxy, front_proxy, server_context
from taskfleet.telemetry.server import status_server

log = logging.getLogger(__name__)

# Certificates are renewed weeks before they end.
LOOK_SECONDS = 300.0
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MetricsApiOptions:
    """``tls`` is the folder with tls.crt and tls.key; ``port`` is that of TLS, ``status_port`` that of /healthz."""

    kubeconfig: str | None
    tls: Path
    port: int
    status_port: int


@dataclass(frozen=True, slots=True)
class _Papers:
    """Our certificate and how we know the API server: what a listener is made with."""

    proxy: FrontProxy
    certificate: bytes


async def run_metrics_api(options: MetricsApiOptions, stop: asyncio.Event, serving: Callable[[int, int], None]) -> None:
    """Serve until ``stop``; ``serving`` is told the ports of TLS and of /healthz.

    Raises KubeLoginFailed, and InputError when a file or a port cannot be used. An API server that is away is waited
    for.
    """
    trouble = "the API server has not been asked yet who it is"
    async with KubeClient.open(options.kubeconfig) as client:
        served = status_server(
            registry=CollectorRegistry(), ready=lambda: trouble, port=options.status_port, setting="--status-port"
        )
        async with served as status_port:
            while not stop.is_set():
                try:
                    papers = await _papers(client, options.tls)
                except (KubeError, NoFrontProxy) as error:
                    if str(error) != trouble:
                        log.warning("cannot serve yet: %s", error)
                    trouble = str(error)
                    await _until(stop, RETRY_SECONDS)
                    continue
                async with _listener(client, options, papers) as port:
                    trouble = ""
                    serving(port, status_port)
                    while not stop.is_set() and not await _changed(client, options.tls, papers):
                        await _until(stop, LOOK_SECONDS)


async def _papers(client: KubeClient, folder: Path) -> _Papers:
    try:
        certificate = (folder / "tls.crt").read_bytes()
    except OSError as error:
        raise InputError(f"--tls: {folder} must hold tls.crt and its tls.key: {error}") from error
    return _Papers(await front_proxy(client), certificate)


async def _changed(client: KubeClient, folder: Path, papers: _Papers) -> bool:
    try:
        return await _papers(client, folder) != papers
    except (KubeError, NoFrontProxy) as error:
        log.warning("cannot look for new certificates; those in use stay: %s", error)
        return False


@asynccontextmanager
async def _listener(client: KubeClient, options: MetricsApiOptions, papers: _Papers) -> AsyncIterator[int]:
    context = server_context(options.tls, papers.proxy)
    runner = web.AppRunner(metrics_app(client, papers.proxy), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "0.0.0.0", options.port, ssl_context=context).start()
        except OSError as error:
            raise InputError(f"--port: {options.port} cannot be used: {error.strerror}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _until(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
