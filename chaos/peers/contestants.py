"""Whoever takes part: enqueues by name, and has workers that can be killed with all their children."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from chaos.model import ModelServer
from chaos.peers.adapters import Peer
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.controller.policy import queue_policy
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.workerprocess import MODEL, prompts, worker_process

APPS = Path(__file__).with_name("apps")
QUEUE = QueueKey("chaos", "peers")

Kill = Callable[[], None]


class Contestant(Protocol):
    """Made for one store and one model server, which counts the calls of each worker by the worker's name."""

    async def enqueue(self, names: Sequence[str]) -> None:
        """One task for each name, which calls the model server with it."""
        ...

    def worker(self, name: str) -> contextlib.AbstractContextManager[Kill]:
        """A worker, at default settings, and what kills it with all its children."""
        ...


class Taskfleet:
    """Ourselves: a TaskQueue that says nothing but its models."""

    def __init__(self, store_port: int, model: ModelServer) -> None:
        self._store = f"valkey://127.0.0.1:{store_port}"
        self._model = model

    async def enqueue(self, names: Sequence[str]) -> None:
        store = await Store.connect(self._store)
        await store.put_policy(QUEUE, queue_policy(TaskQueueSpec.model_validate({"models": [{"name": MODEL}]})))
        await store.submit(QUEUE, prompts(*names))
        await store.close()

    @contextlib.contextmanager
    def worker(self, name: str) -> Iterator[Kill]:
        with worker_process(self._store, QUEUE, self._model.url(name), name=name, fresh=True) as process:
            yield lambda: process.signal(signal.SIGKILL)


class Installed:
    """A peer that was installed into ``environment``."""

    def __init__(self, peer: Peer, environment: Path, store_port: int, model: ModelServer) -> None:
        self._peer = peer
        self._bin = environment / "bin"
        self._store = f"redis://127.0.0.1:{store_port}/0"
        self._model = model

    async def enqueue(self, names: Sequence[str]) -> None:
        command = [str(self._bin / "python"), f"{self._peer.app}.py", *names]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=APPS, env=self._variables("nobody"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        _, said = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self._peer.name} cannot enqueue: {said.decode()[-1000:]}")

    @contextlib.contextmanager
    def worker(self, name: str) -> Iterator[Kill]:
        program, *arguments = self._peer.worker
        process = subprocess.Popen(
            [str(self._bin / program), *arguments],
            cwd=APPS,
            env=self._variables(name),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):  # it was killed before
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

        try:
            yield kill
        finally:
            kill()

    def _variables(self, worker: str) -> dict[str, str]:
        calls = self._model.call_url(worker)
        path = os.pathsep.join((str(self._bin), os.environ.get("PATH", "")))
        return {
            **os.environ,
            "PATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "CHAOS_STORE": self._store,
            "CHAOS_CALLS": calls,
        }


def install(peer: Peer, folder: Path) -> Path:
    """An environment of its own in ``folder`` that has the peer's packages; peers with the same ones share it."""
    environment = folder / peer.environment
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *peer.packages], check=True)
    return environment
