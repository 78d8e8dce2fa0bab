"""One engine under measurement: its producer and its workers as processes, and what its tasks noted."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import valkey

from benchmarks.peers import Engine

ACT_SECONDS = 60.0
QUIET_SECONDS = 5.0
_RECORD = struct.Struct("dq")


class Failed(Exception):
    """The engine did not do what was asked of it; the text says what, for the page."""


class EngineRun:
    """An engine with a database of its own on the shared server, and a file in which its tasks note their starts."""

    def __init__(self, engine: Engine, command: list[str], port: int, database: int, folder: Path) -> None:
        self.engine = engine
        self._command = command
        self._tally = folder / f"{database}.tally"
        self._errors = folder / f"{database}.stderr"
        self._client = valkey.Valkey(port=port, db=database, single_connection_client=True)
        self._database, self._id = str(database), str(self._client.client_id())
        self._environment = {
            **os.environ,
            "BENCH_URL": f"redis://127.0.0.1:{port}/{database}",
            "BENCH_TALLY": str(self._tally),
            "BENCH_VARIANT": engine.variant,
            "BENCH_PACKAGES": str(engine.place),
        }

    def clear(self) -> None:
        """Nothing is queued, and nothing has begun."""
        self._client.flushdb()
        self._tally.write_bytes(b"")

    def act(self, *action: Any) -> Any:
        """What the adapter prints for an action. Errors: Failed."""
        command = [*self._command, *map(str, action)]
        try:
            done = subprocess.run(
                command, env=self._environment, capture_output=True, text=True, timeout=ACT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{action[0]} took longer than {ACT_SECONDS:.0f} s") from None
        if done.returncode:
            raise Failed(f"{action[0]} failed: {_last_line(done.stderr)}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def workers(self, count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
        """So many worker processes, with whatever processes they start; killed at the end."""
        started = [self.start_worker() for _ in range(count)]
        try:
            yield started
        finally:
            for process in started:
                kill(process)

    def start_worker(self) -> "subprocess.Popen[bytes]":
        with self._errors.open("wb") as errors:
            return subprocess.Popen(
                [*self._command, "worker"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def starts(self) -> list[tuple[float, int]]:
        """Time and process of each start so far, in order."""
        return sorted(_RECORD.iter_unpack(self._tally.read_bytes()))

    def started(self, count: int, seconds: float) -> list[tuple[float, int]]:
        """The starts once there are so many. Errors: Failed."""
        end = time.monotonic() + seconds
        while self._tally.stat().st_size < count * _RECORD.size:
            if time.monotonic() > end:
                said = _last_line(self._errors.read_text(errors="replace"))
                raise Failed(f"{len(self.starts())} of {count} tasks began within {seconds:.0f} s ({said})")
            time.sleep(0.02)
        return self.starts()

    def used_memory(self) -> int:
        """Bytes that the server uses once no client is connected but ours: buffers of clients are none of them.
        Errors: Failed."""
        end = time.monotonic() + QUIET_SECONDS
        while any(client["db"] == self._database and client["id"] != self._id for client in self._clients()):
            if time.monotonic() > end:
                raise Failed(f"its clients stayed connected for {QUIET_SECONDS:.0f} s")
            time.sleep(0.02)
        info: Any = self._client.info("memory")
        return int(info["used_memory"])

    def _clients(self) -> list[dict[str, str]]:
        found: Any = self._client.client_list()
        return list(found)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for a worker and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1].strip()[:200]
