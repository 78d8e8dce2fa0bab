"""A data folder, of ``taskfleet up`` or of a queue in a program: one owner at a time, and a note for the commands that
want to find it.

The lock is an flock on ``DIR/lock``. The embedded store inherits it, so that it is held as long as anything may still
write to the data, even when ``up`` itself was killed.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from taskfleet.core.errors import AlreadyRunning, NotRunning, StoreError
from taskfleet.core.task import QueueKey

UP_FILE = "up.json"
LOCK_FILE = "lock"
# Longer than the store of a killed `up` takes to end, and than a command's glance at the lock.
LOCK_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """What ``up.json`` says of a running ``up``. The URL holds the store's password: the file is for its owner only."""

    pid: int
    store_url: str
    namespace: str
    queues: tuple[QueueKey, ...]


class DataDir:
    """A locked data folder. ``lock_fd`` is for the embedded store to inherit."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd
        self.logs = path / "logs"
        self.store = path / "valkey"

    def announce(
        self, *, store_url: str, status_url: str, namespace: str, queues: Sequence[QueueKey], gateway_url: str = ""
    ) -> None:
        """Write ``up.json``: from now on other commands find this ``up``."""
        note = {
            "pid": os.getpid(),
            "store_url": store_url,
            "status_url": status_url,
            "gateway_url": gateway_url,
            "namespace": namespace,
            "queues": [str(queue) for queue in queues],
        }
        fresh = self.path / f".{UP_FILE}.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(note) + b"\n")
        fresh.replace(self.path / UP_FILE)

    def retract(self) -> None:
        """Remove ``up.json``: this ``up`` takes no more work."""
        with suppress(FileNotFoundError):
            (self.path / UP_FILE).unlink()


@contextmanager
def locked(path: Path) -> Iterator[DataDir]:
    """Create the folder if need be and hold its lock.

    Raises AlreadyRunning when another ``up`` has it, StoreError when the folder cannot be written.
    """
    try:
        for folder in (path, path / "logs", path / "valkey"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"cannot use the data folder {path}: {error.strerror}: {error.filename}") from error
    try:
        _take(descriptor, path)
        data = DataDir(path, descriptor)
        try:
            yield data
        finally:
            data.retract()
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    give_up_at = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _noted(path)
            if owner is not None and _alive(owner.pid):
                raise AlreadyRunning(
                    f"another `taskfleet up` or program (process {owner.pid}) uses {path}; stop it with Ctrl-C or "
                    f"`kill {owner.pid}`, or choose another folder with --data (in Python: data=)"
                ) from None
            if time.monotonic() > give_up_at:
                raise AlreadyRunning(
                    f"another process holds {path / LOCK_FILE}; choose another folder with --data (in Python: data=)"
                ) from None
            time.sleep(0.05)  # nothing else runs on the loop yet
        else:
            return


def read_up_file(path: Path) -> Running:
    """The ``up`` that runs on a data folder. Raises NotRunning, also for a note that a killed ``up`` left behind."""
    running = _noted(path)
    start = "start it with `taskfleet up -f MANIFESTS`"
    if running is None:
        raise NotRunning(f"no `taskfleet up` runs on {path}; {start}, or set TASKFLEET_STORE_URL for a store elsewhere")
    if not _lock_is_held(path):
        raise NotRunning(f"the `taskfleet up` on {path} (process {running.pid}) has ended; {start}: its tasks are kept")
    return running


def _noted(path: Path) -> Running | None:
    try:
        note = orjson.loads((path / UP_FILE).read_bytes())
        queues = tuple(QueueKey.parse(text) for text in note["queues"])
        return Running(int(note["pid"]), note["store_url"], note["namespace"], queues)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise NotRunning(f"{path / UP_FILE} belongs to another user, and only that user may use its store") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotRunning(
            f"{path / UP_FILE} cannot be read; stop the `taskfleet up` there and start it again"
        ) from error


def _lock_is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
