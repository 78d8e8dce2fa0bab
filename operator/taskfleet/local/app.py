"""``taskfleet up``: the controller's logic with processes for workers and a store of its own, in one folder.

The order matters. Up: folder locked, store serving, policies published, then ``up.json`` tells the other commands.
Down: no new commands, no new workers, running ones drained while the store still serves, the store last.
"""

import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from taskfleet.api.manifests import Manifests
from taskfleet.controller.policy import queue_policy
from taskfleet.controller.reconciler import Reconciler
from taskfleet.core.errors import TaskfleetError
from taskfleet.core.needs import count
from taskfleet.embedded.datadir import DataDir, locked
from taskfleet.embedded.server import EmbeddedStore
from taskfleet.local.fleet import ProcessFleet
from taskfleet.local.httpgateway import gateway_on_loopback
from taskfleet.local.logfile import logs_in
from taskfleet.local.manifestfiles import ManifestFiles
from taskfleet.local.servicenames import on_this_machine
from taskfleet.local.snapshot import Observer, Snapshot
from taskfleet.local.status import status_on_loopback
from taskfleet.local.surface import MemorySurface
from taskfleet.local.view import View
from taskfleet.store import Store
from taskfleet.telemetry.controllermetrics import ControllerMetrics

LOOK_EVERY_SECONDS = 0.5
TASKS_FAILED = 1
STOPPED_BY_SIGINT = 130
STOPPED_BY_SIGTERM = 143


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line asks for."""

    manifests: tuple[Path, ...]
    data: Path
    namespace: str
    until_empty: bool
    metrics_port: int | None
    gateway_port: int | None = None

    @property
    def command_line(self) -> str:
        """What goes on with this folder, to be typed."""
        words = ["taskfleet", "up", *(word for path in self.manifests for word in ("-f", str(path)))]
        words += ["--data", str(self.data)]
        words += [] if self.namespace == "default" else ["--namespace", self.namespace]
        words += [] if self.metrics_port is None else ["--metrics-port", str(self.metrics_port)]
        words += [] if self.gateway_port is None else ["--gateway-port", str(self.gateway_port)]
        return shlex.join(words)


async def run_up(options: UpOptions, view: View) -> int:
    """Run until told to stop, or until empty. Returns the exit code; raises TaskfleetError when it cannot start."""
    files = ManifestFiles(options.manifests, namespace=options.namespace, environment=os.environ)
    manifests = files.load()
    with locked(options.data) as data, logs_in(data.logs / "up.log", view.tell):
        server = EmbeddedStore(data, tell=view.tell)
        try:
            await server.start()
            store = await Store.connect(server.url)
            try:
                laptop = _Laptop(options, view, data, server, store, files)
                return await laptop.run(manifests)
            finally:
                await store.close()
        finally:
            await server.stop()


class _Laptop:
    """One running ``up``."""

    def __init__(
        self, options: UpOptions, view: View, data: DataDir, server: EmbeddedStore, store: Store, files: ManifestFiles
    ) -> None:
        self._options = options
        self._view = view
        self._data = data
        self._server = server
        self._store = store
        self._files = files
        self._manifests = Manifests()
        self._registry = CollectorRegistry()
        self._fleet = ProcessFleet(store_url=server.url, logs=data.logs, reports=store.workers, tell=view.tell)
        self._surface = MemorySurface(tell=view.tell)
        self._observer = Observer(store, self._surface)
        self._reconciler = Reconciler(
            store_url=server.url,
            fleet=self._fleet,
            surface=self._surface,
            metrics=ControllerMetrics(self._registry),
        )
        self._fleet.touch = self._reconciler.touch_pool
        self._stopping = asyncio.Event()
        self._reconciler_stop = asyncio.Event()
        self._exit_code = 0
        self._seen_store_error = ""
        self._status_url = ""
        self._gateway_url = ""

    async def run(self, manifests: Manifests) -> int:
        port = self._options.metrics_port
        serving = status_on_loopback(registry=self._registry, ready=self._not_ready, port=port)
        answering = gateway_on_loopback(
            store_url=self._server.url,
            namespace=self._options.namespace,
            files=self._data.path / "files",
            port=self._options.gateway_port,
        )
        async with serving as self._status_url, answering as self._gateway_url:
            with _signals(self._told_to_stop):
                await self._work(manifests)
        await self._say_goodbye()
        if self._view.gone:
            raise BrokenPipeError
        return self._exit_code

    def _not_ready(self) -> str:
        """Why this ``up`` takes no work or cannot do it, in words; "" when it can."""
        return "stopping" if self._stopping.is_set() else self._server.trouble or self._seen_store_error

    async def _work(self, manifests: Manifests) -> None:
        await self._take(manifests)
        for queue in self._manifests.queues:  # so that commands find it as soon as we are announced
            await self._store.put_policy(queue.key, queue_policy(queue.spec))
        self._announce()
        words = f"OpenAI's API at {self._gateway_url}/v1, the console at {self._gateway_url}/console/"
        self._view.tell(f"{words}, for this machine only and without a key")
        self._view.tell(f"metrics at {self._status_url}/metrics, health at /healthz and /readyz there")
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._server.keep_alive())
                observing = group.create_task(self._observe())
                following = group.create_task(self._follow_manifests())
                reconciling = group.create_task(self._reconciler.run(self._reconciler_stop))
                await self._stopping.wait()
                following.cancel()
                self._data.retract()
                self._reconciler_stop.set()
                await reconciling
                await self._fleet.drain()
                self._view.show(dataclasses.replace(await self._snapshot(), endpoints=()), last=True)
                observing.cancel()
                keeping.cancel()
        finally:
            self._fleet.kill()

    async def _take(self, manifests: Manifests) -> None:
        """Make these manifests what runs; the reconciler publishes the queues, at once or when the store is back."""
        manifests = await on_this_machine(manifests, self._view.tell)
        old, self._manifests = self._manifests, manifests
        for remark in (*manifests.notes, *manifests.warnings):
            self._view.tell(remark)
        for queue in manifests.queues:
            self._reconciler.set_queue(queue)
        for pool in manifests.pools:
            self._reconciler.set_pool(pool)
        keys = [queue.key for queue in manifests.queues]
        pools = {(pool.metadata.namespace, pool.metadata.name) for pool in manifests.pools}
        for queue in old.queues:
            if queue.key not in keys:
                self._reconciler.forget_queue(queue.key)
                self._view.tell(f"queue {queue.key} is no longer in the manifests; its tasks stay in the data folder")
        for pool in old.pools:
            if (pool.metadata.namespace, pool.metadata.name) not in pools:
                self._reconciler.forget_pool(pool.metadata.namespace, pool.metadata.name)

    def _announce(self) -> None:
        keys = [queue.key for queue in self._manifests.queues]
        self._data.announce(
            store_url=self._server.url,
            status_url=self._status_url,
            namespace=self._options.namespace,
            queues=keys,
            gateway_url=self._gateway_url,
        )

    async def _follow_manifests(self) -> None:
        """Load the files again when they change. An edit that is wrong is told, and what ran goes on."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not self._files.changed():
                continue
            try:
                await self._take(self._files.load())
                self._announce()
            except TaskfleetError as error:
                self._view.tell(f"the edited manifests are not used: {error}")
            else:
                self._view.tell("took over the edited manifests")

    async def _observe(self) -> None:
        before = await self._snapshot()
        while True:
            snapshot = await self._snapshot()
            self._seen_store_error = snapshot.store_error
            self._view.show(snapshot)
            if self._options.until_empty and _is_empty(snapshot) and not self._stopping.is_set():
                self._exit_code = TASKS_FAILED if snapshot.failed > before.failed else 0
                self._view.tell("all queues are empty")
                self._stopping.set()
            if self._view.gone:
                self._stopping.set()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _snapshot(self) -> Snapshot:
        return await self._observer.snapshot(self._manifests.queues, self._manifests.pools)

    def _told_to_stop(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self._view.tell("ending the workers at once; their tasks run again after the next start")
            self._fleet.kill()
            return
        self._exit_code = STOPPED_BY_SIGINT if number is signal.SIGINT else STOPPED_BY_SIGTERM
        if self._fleet.processes():
            self._view.tell("stopping: the workers finish what they run; once more ends them at once")
        self._stopping.set()

    async def _say_goodbye(self) -> None:
        snapshot = await self._snapshot()
        verb = "is" if snapshot.open_tasks == 1 else "are"
        open_tasks = f"{count(snapshot.open_tasks, 'open task')} {verb}"
        kept = open_tasks if snapshot.open_tasks else "no tasks are open; results are"
        self._view.tell(f"stopped; {kept} kept in {self._options.data}, go on with: {self._options.command_line}")


def _is_empty(snapshot: Snapshot) -> bool:
    """Nothing waits and nothing runs. A folder that never had a task waits for its first one."""
    return not snapshot.store_error and snapshot.enqueued > 0 and snapshot.open_tasks == 0


@contextlib.contextmanager
def _signals(handler: Callable[[signal.Signals], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
