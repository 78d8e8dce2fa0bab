"""The gateway of a running ``up``: on a port that only this machine reaches, so that it asks for no keys."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import InputError
from taskfleet.gateway.service import USUAL_PORT, GatewayOptions, gateway
from taskfleet.local.secretkeys import api_key
from taskfleet.local.status import HOST

SETTING = "--gateway-port"
# Running calls were answered while the workers were drained; whoever still waits, waits for a task that stays queued.
GRACE_SECONDS = 1


@asynccontextmanager
async def gateway_on_loopback(*, store_url: str, namespace: str, files: Path, port: int | None) -> AsyncIterator[str]:
    """Serve until the block ends; gives the URL. ``port`` None: the usual one, or any when someone else has it.

    Raises InputError when a ``port`` that was asked for is taken.
    """
    async with AsyncExitStack() as stack:

        async def serve(on: int) -> str:
            options = GatewayOptions(
                store_url, HOST, on, SETTING, namespace, None, None, files, GRACE_SECONDS, _from_the_environment
            )
            return (await stack.enter_async_context(gateway(options))).url

        try:
            url = await serve(USUAL_PORT if port is None else port)
        except InputError:
            if port is not None:
                raise
            url = await serve(0)
        yield url


def _from_the_environment(_namespace: str, endpoint: Endpoint) -> str | None:
    return api_key(endpoint, os.environ)
