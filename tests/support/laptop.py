"""A `taskfleet up` of its own in a temporary folder, as a user starts it: a process, with manifests in files."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.waiting import wait_until

T = TypeVar("T")

PROGRAM = str(Path(sys.executable).with_name("taskfleet"))
QUEUE = QueueKey("default", "demo")
START_SECONDS = 40.0
STOP_SECONDS = 40.0
WORKER_SECONDS = 40.0

QUEUE_MANIFEST = """\
apiVersion: taskfleet.dev/v1alpha1
kind: TaskQueue
metadata: {{name: demo}}
spec:
  models: [{{name: small, aliases: [fast]}}]
  leaseDuration: {lease}
  retry: {{initialDelay: 50ms}}
  partitions: {partitions}
"""
POOL_MANIFEST = """\
apiVersion: taskfleet.dev/v1alpha1
kind: WorkerPool
metadata: {{name: pool}}
spec:
  queueRef: {{name: demo}}
  endpoints:
  - {{name: stub, url: "{url}", models: [small], concurrency: {concurrency}, maxWorkers: {workers}}}
  autoscaling:
    minWorkers: {minimum}
    maxWorkers: {workers}
    targetBacklogPerWorker: 1
    scaleDownDelay: {down}
    scaleToZeroDelay: {down}
  healthCheck: {{interval: 1s, timeout: 1s}}
"""


@dataclass
class Laptop:
    """``start`` and ``stop`` as often as a test likes; ``folder`` holds manifests, data and output."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "the data"

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def output(self) -> str:
        """Everything that `up` has printed in this folder, over all its starts."""
        return (self.folder / "output").read_text(errors="replace")

    @property
    def up_file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data / "up.json").read_text())
        return content

    def write(
        self,
        url: str,
        *,
        concurrency: int = 2,
        workers: int = 2,
        minimum: int = 0,
        lease: str = "2s",
        down: str = "500ms",
        partitions: int = 1,
    ) -> None:
        """One queue `demo` and one pool for it."""
        self.manifests.mkdir(exist_ok=True)
        (self.manifests / "queue.yaml").write_text(QUEUE_MANIFEST.format(lease=lease, partitions=partitions))
        pool = POOL_MANIFEST.format(url=url, concurrency=concurrency, workers=workers, minimum=minimum, down=down)
        (self.manifests / "pool.yaml").write_text(pool)

    def launch(self, *options: str) -> subprocess.Popen[bytes]:
        """Start `up` without waiting for anything."""
        command = [PROGRAM, "up", "-f", str(self.manifests), "--data", str(self.data), *options]
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | self.environment
            )
        return self.process

    def start(self, *options: str) -> None:
        """Start `up` and wait until other commands find it."""
        process = self.launch(*options)
        wait_until(
            lambda: process.poll() is not None or self._found(process.pid),
            f"`up` to write up.json; it said: {self.output}",
            timeout=START_SECONDS,
        )
        assert process.poll() is None, self.output

    def _found(self, pid: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(self.up_file["pid"] == pid)
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code of `up`, which must end by itself now."""
        assert self.process is not None
        try:
            return self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"`up` did not end; it said: {self.output}") from None

    def stop(self) -> int:
        self.signal(signal.SIGINT)
        return self.wait()

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Another command on the same data folder."""
        command = [PROGRAM, *arguments, "--data", str(self.data)]
        return subprocess.run(
            command, input=stdin, capture_output=True, timeout=60, check=False, env=os.environ | self.environment
        )

    def ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        """Ask the running embedded store something."""

        async def connected() -> T:
            store = await Store.connect(self.up_file["store_url"])
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(connected())

    def descendants(self) -> dict[int, str]:
        """Processes that write into our logs folder, whoever their parent is now: pid and command."""
        logs = self.data.resolve() / "logs"
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it ended meanwhile
                if logs in (folder / "fd" / "1").readlink().parents:
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def workers(self) -> list[int]:
        """Pids of the worker processes of a running `up`."""
        assert self.process is not None
        own = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = []
        for pid in own.read_text().split():
            with contextlib.suppress(OSError):  # it ended meanwhile
                if b"taskfleet.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
        return found

    def wait_for_workers(self, number: int) -> None:
        """Until there are so many. When there never are, the logs that tell why are in the error."""
        try:
            wait_until(lambda: len(self.workers()) == number, f"{number} worker processes", timeout=WORKER_SECONDS)
        except AssertionError as error:
            logs = (f"{log.name}:\n{log.read_text()[-3000:]}" for log in sorted((self.data / "logs").glob("*.log")))
            raise AssertionError("\n".join((str(error), f"`up` said:\n{self.output}", *logs))) from None

    def worker(self, name: str) -> int:
        """Pid of the worker process of this name."""
        setting = f"TASKFLEET_WORKER={name}".encode()
        (pid,) = [
            pid for pid in self.workers() if setting in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
        ]
        return pid

    def server(self) -> int:
        """Pid of the embedded store."""
        (pid,) = [pid for pid, command in self.descendants().items() if "valkey-server" in command]
        return pid


@contextlib.contextmanager
def laptop(folder: Path) -> Iterator[Laptop]:
    """A laptop whose `up` is killed at the end of the test, if it is still there."""
    own = Laptop(folder)
    try:
        yield own
    finally:
        if own.process is not None and own.process.poll() is None:
            own.process.kill()
            own.process.wait()
        wait_until(lambda: own.descendants() == {}, "what `up` had started to end with it", timeout=STOP_SECONDS)
