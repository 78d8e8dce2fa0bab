"""``/healthz``, ``/readyz`` and ``/metrics`` on one port: the same for every process of Taskfleet.

``/healthz`` answers as long as the event loop turns, ``/readyz`` tells in words why a process cannot work.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from taskfleet.core.errors import InputError


@asynccontextmanager
async def status_server(
    *, registry: CollectorRegistry, ready: Callable[[], str], port: int, setting: str, host: str = "0.0.0.0"
) -> AsyncIterator[int]:
    """Serve until the block ends; gives the bound port (``port`` 0 takes any free one).

    ``ready()`` is "" when the process can work, else the reason why not, which ``/readyz`` answers with status 503.
    Raises InputError, which names the port's ``setting``, when the port is taken or may not be used.
    """
    from aiohttp import web  # a fifth of a worker's start, and one on a laptop has no port

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        reason = ready()
        return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise InputError(f"{setting}: {port} cannot be used: {error.strerror}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
