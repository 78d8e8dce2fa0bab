"""Coordinator, browser, worker and store are killed in one run, five times in all, or TASKFLEET_KILLS times as often.

Nothing is lost, and no step of an item is run twice unless what ran it died.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from taskfleet.core.task import QueueKey
from taskfleet.parallel.results import lines_in_order
from taskfleet.store import Store
from tests.support.browsers import browsers_below, needs_browser
from tests.support.modelstub import ModelStub
from tests.support.programs import started
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import wait_until
from tests.support.workerprocess import MODEL, WorkerProcess, quick_policy, worker_process
from tests.tools.host import tools_endpoint
from tests.tools.site import ALLOWED, Server

ROUNDS = int(os.environ.get("TASKFLEET_KILLS", "1"))
ITEMS_A_KILL = 12
KILLS = 5  # a round
ITEMS = ITEMS_A_KILL * (KILLS * ROUNDS + 1)
PAGES_AT_ONCE, AT_ONCE = 4, 12
START_SECONDS = 90.0  # a busy machine needs long to start a program, and a killed worker's leases to end
QUEUE = QueueKey("test", "kills")
BROWSER = "headless-browser"
SOME = "{{ $index is divisibleby 5 }}"  # pages cost much, and one that is open is enough
PROGRAM = str(Path(sys.executable).with_name("taskfleet"))


class Scene:
    """All that takes part, and how far the run is."""

    def __init__(self, stack: ExitStack, folder: Path, stub: ModelStub, site: Server) -> None:
        self.stub, self.site = stub, site
        self._stack = stack
        self._folder = folder
        self.store = stack.enter_context(running_valkey(folder, appendonly="yes", appendfsync="always"))
        self.url = f"valkey://127.0.0.1:{self.store.port}"
        asyncio.run(self._open_queue())
        self._model_worker = stack.enter_context(worker_process(self.url, QUEUE, stub.url, concurrency=AT_ONCE))
        self.worker = self.new_worker()
        self.coordinator = self.new_coordinator()

    async def _open_queue(self) -> None:
        store = await Store.connect(self.url)
        models = [{"name": name} for name in (MODEL, "http", BROWSER)]
        await store.put_policy(QUEUE, quick_policy(models=models, leaseDuration="5s", taskTimeout="60s"))
        await store.close()

    def new_worker(self) -> WorkerProcess:
        endpoint = tools_endpoint(
            "http", BROWSER, concurrency=PAGES_AT_ONCE, network={"allowedNetworks": [f"{ALLOWED}/32"]}
        )
        wire = json.dumps(endpoint.to_wire())
        return self._stack.enter_context(worker_process(self.url, QUEUE, self.stub.url, TASKFLEET_ENDPOINT=wire))

    def new_coordinator(self) -> "subprocess.Popen[bytes]":
        command = [PROGRAM, "parallel", "run", str(self._folder / "kills.yaml"), "-q", str(QUEUE)]
        environment = os.environ | {"TASKFLEET_STORE_URL": self.url, "XDG_CONFIG_HOME": str(self._folder)}
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return self._stack.enter_context(started(command, env=environment, **options))

    def kill_coordinator(self) -> None:
        self.coordinator.send_signal(signal.SIGKILL)
        self.coordinator.wait(10)
        self.coordinator = self.new_coordinator()

    def kill_browser(self) -> None:
        for browser in wait_until(lambda: list(browsers_below(self.worker.pid)), "a browser", timeout=START_SECONDS):
            os.kill(browser, signal.SIGKILL)

    def kill_worker(self) -> None:
        self.worker.signal(signal.SIGKILL)
        self.worker = self.new_worker()

    def kill_store(self) -> None:
        self.store.terminate()
        self.store.start()

    def done(self) -> int:
        """Calls of the last step."""
        return sum(count for prompt, count in dict(self.stub.calls).items() if prompt.startswith("kills: last "))

    async def lines(self) -> list[dict[str, Any]]:
        store = await Store.connect(self.url)
        found = [orjson.loads(line) async for line in lines_in_order(store, QUEUE, "kills.one")]
        await store.close()
        return found


@pytest.fixture
def scene(tmp_path: Path, model_server: ModelStub, site: Server) -> Iterator[Scene]:
    steps = [
        {"name": "first", "action": "kills: first {{ $item }}"},
        {"name": "get", "tool": "http", "arguments": {"url": site.url("/kills/{{ $item }}")}, "onError": "continue"},
        {
            "name": "look",
            "tool": BROWSER,
            "arguments": {"url": site.url("/about")},
            "if": SOME,
            "retry": {"maxAttempts": 3},
        },
        {"name": "last", "action": "kills: last {{ $item }} {{ get.output.status }}"},
    ]
    (tmp_path / "items.txt").write_text("".join(f"i{number}\n" for number in range(ITEMS)))
    parameters = {"on": "items.txt", "max_parallel": AT_ONCE, "action_loop": steps}
    queue = {"id": "one", "action": "create_parallel_queue", "parameters": parameters}
    (tmp_path / "kills.yaml").write_text(yaml.safe_dump({"name": "kills", "steps": [queue]}))
    with ExitStack() as stack:
        yield Scene(stack, tmp_path, model_server, site)


@needs_browser
def test_whoever_is_killed_nothing_is_lost_and_no_step_runs_twice_that_nobody_died_in(scene: Scene) -> None:
    kills: list[Callable[[], None]] = [
        scene.kill_coordinator,
        scene.kill_browser,
        scene.kill_store,
        scene.kill_worker,
        scene.kill_coordinator,
    ]
    assert len(kills) == KILLS
    for number, kill in enumerate(kills * ROUNDS, start=1):
        wait_until(
            lambda number=number: scene.done() >= number * ITEMS_A_KILL // 2, f"kill {number}", timeout=START_SECONDS
        )
        kill()
    wait_until(lambda: scene.coordinator.poll() is not None, "the end of the run", timeout=4 * START_SECONDS)
    assert scene.coordinator.returncode == 0
    lines = asyncio.run(scene.lines())
    assert [line["index"] for line in lines] == list(range(ITEMS))
    assert {line["status"] for line in lines} == {"completed"}
    asked = {prompt: count for prompt, count in scene.stub.calls.items() if prompt.startswith("kills: ")}
    expected = [f"kills: first i{n}" for n in range(ITEMS)] + [f"kills: last i{n} 404" for n in range(ITEMS)]
    assert asked == dict.fromkeys(expected, 1), "a model's worker never died"
    visits = Counter(path for path in scene.site.seen if path.startswith("/kills/"))
    assert set(visits) == {f"/kills/i{number}" for number in range(ITEMS)}
    assert visits.total() - ITEMS <= ROUNDS * PAGES_AT_ONCE, "only those that the worker died in"
    assert all(line["steps"]["look"]["output"]["title"] == "About" for line in lines[::5])
