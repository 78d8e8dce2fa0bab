"""Where a running ``up`` shows its health and the controller's metrics: a port that only this machine reaches.

The workers serve none: each would need a port of its own, and nothing on a laptop would find them.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry

from taskfleet.core.errors import InputError
from taskfleet.telemetry.server import status_server

HOST = "127.0.0.1"
USUAL_PORT = 8421  # the controller's, whose metrics these are
SETTING = "--metrics-port"


@asynccontextmanager
async def status_on_loopback(
    *, registry: CollectorRegistry, ready: Callable[[], str], port: int | None
) -> AsyncIterator[str]:
    """Serve until the block ends; gives the URL. ``port`` None: the usual one, or any when someone else has it.

    Raises InputError when a ``port`` that was asked for is taken.
    """
    async with AsyncExitStack() as stack:

        async def serve(on: int) -> int:
            server = status_server(registry=registry, ready=ready, port=on, setting=SETTING, host=HOST)
            return await stack.enter_async_context(server)

        try:
            bound = await serve(USUAL_PORT if port is None else port)
        except InputError:
            if port is not None:
                raise
            bound = await serve(0)
        yield f"http://{HOST}:{bound}"
