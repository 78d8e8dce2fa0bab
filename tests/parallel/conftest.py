"""Parallel queues on a real store, with a real worker and one stub model server for all tests of a process."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from taskfleet.api.pipelines import Pipeline, load_pipeline
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.parallel.rules import RunState
from taskfleet.core.task import QueueKey
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.record import Record
from taskfleet.parallel.results import lines_in_order
from taskfleet.store import Store
from tests.support.commands import taskfleet as taskfleet  # a fixture
from tests.support.modelstub import Fault, ModelStub, running
from tests.support.waiting import eventually, wait_until
from tests.support.workerprocess import MODEL, quick_policy, worker_process
from tests.tools.host import tools_endpoint
from tests.tools.site import ALLOWED, Server, serving

QUEUE = QueueKey("test", "parallel")
TOOL_QUEUE = QueueKey("test", "tooled")
TOOLS = ("http", "headless-browser", "terminal", "file")
KEPT = 600.0
START_SECONDS = 90.0  # a busy machine needs long to start a program


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelStub]:
    with running(keep_requests=False) as stub:
        yield stub


@pytest.fixture(scope="session")
def served(valkey_server: Any, model_server: ModelStub) -> Iterator[QueueKey]:
    """A queue that a worker with 60 slots serves."""
    url = f"valkey://127.0.0.1:{valkey_server.port}"

    async def open_queue() -> None:
        store = await Store.connect(url)
        await store.put_policy(QUEUE, quick_policy(models=[{"name": MODEL}], retry={"maxAttempts": 1}))
        await store.close()

    asyncio.run(open_queue())
    with worker_process(url, QUEUE, model_server.url, concurrency=60) as worker:
        wait_until(lambda: worker.said("working"), "the worker to work", timeout=START_SECONDS)
        yield QUEUE


@dataclass
class Bench:
    """Runs parallel queues and shows what they came to. Each test has a word of its own in its prompts: ``word``."""

    store: Store
    queue: QueueKey
    stub: ModelStub
    word: str
    folder: Path
    name: str = ""  # of its run

    def __post_init__(self) -> None:
        self.name = self.word

    def spec(self, **fields: Any) -> Pipeline:
        """A pipeline of one queue with these fields, written to a file and read again."""
        file = self.folder / f"{self.word}.yaml"
        step = {"id": "one", "action": "create_parallel_queue", "parameters": fields}
        file.write_text(yaml.safe_dump({"name": self.word, "steps": [step]}))
        return load_pipeline(file)

    async def driver(self, pipeline: Pipeline, earlier: dict[str, Any] | None = None) -> Driver:
        coordinator = await Coordinator.open(self.store, self.queue)
        spec = pipeline.queues[0].spec
        return await coordinator.driver(Order(self.name, spec, spec.inputs, self.folder, earlier or {}))

    async def run(self, **fields: Any) -> Record:
        """A run to its end."""
        driver = await self.driver(self.spec(**fields))
        await driver.run(KEPT)
        return driver.record

    async def run_cut_off(self, pipeline: Pipeline, *calls: int) -> Record:
        """A run to its end, by coordinators of which each is cancelled after that many calls. All but the second write
        down where they are; that one has no time to, as when it is killed."""
        for number, most in enumerate(calls):
            driver = await self.driver(pipeline)
            running = asyncio.create_task(driver.run(KEPT))
            await eventually(lambda most=most: len(self.all_calls()) > most, f"{most} calls")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            if number != 1:
                await to_its_end(driver.leave())
        driver = await self.driver(pipeline)
        await driver.run(KEPT)
        return driver.record

    async def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) async for line in lines_in_order(self.store, self.queue, self.name)]

    async def record(self) -> Record:
        record = Record.from_fields(await self.store.runs.fields(self.queue, self.name))
        assert record is not None
        return record

    async def state(self) -> RunState:
        return (await self.record()).state

    def calls(self, prompt: str) -> int:
        """How often the model was asked ``WORD prompt``."""
        return self.stub.calls[f"{self.word} {prompt}"]

    def all_calls(self) -> dict[str, int]:
        """What the model was asked, without the word of this test, and how often."""
        own = f"{self.word} "
        return {
            prompt.removeprefix(own): count for prompt, count in dict(self.stub.calls).items() if prompt.startswith(own)
        }

    @contextmanager
    def failing(self, containing: str, kind: str = "400-openai", times: int | None = None) -> Iterator[None]:
        """Calls whose prompt has this in it fail."""
        fault = Fault(kind, times=times, containing=containing)
        self.stub.faults.append(fault)
        try:
            yield
        finally:
            self.stub.faults.remove(fault)

    @contextmanager
    def answering(self, answer: Callable[[str, dict[str, Any]], Any]) -> Iterator[None]:
        """The model answers prompts with this test's word as ``answer`` has it (a text or a message): it is given the
        prompt without the word, and the request. None: it echoes them as always."""

        def reply(body: dict[str, Any]) -> Any:
            prompt = body["messages"][-1]["content"]
            return answer(prompt.replace(f"{self.word} ", ""), body) if self.word in prompt else None

        self.stub.replies.append(reply)
        try:
            yield
        finally:
            self.stub.replies.remove(reply)

    def asked(self, containing: str) -> int:
        """How often the model was asked something of this test in which that is."""
        return sum(
            count for prompt, count in dict(self.stub.calls).items() if self.word in prompt and containing in prompt
        )


@pytest.fixture
def bench(store: Store, served: QueueKey, model_server: ModelStub, tmp_path: Path) -> Bench:
    return Bench(store, served, model_server, f"w{secrets.token_hex(4)}", tmp_path)


@pytest.fixture(scope="session")
def tool_queue(
    valkey_server: Any, model_server: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[QueueKey]:
    """A queue of the model and of the real tools, served by a worker of each."""
    url = f"valkey://127.0.0.1:{valkey_server.port}"

    async def open_queue() -> None:
        store = await Store.connect(url)
        models = [{"name": name} for name in (MODEL, *TOOLS)]
        await store.put_policy(TOOL_QUEUE, quick_policy(models=models, leaseDuration="5s", taskTimeout="60s"))
        await store.close()

    asyncio.run(open_queue())
    settings = {
        "network": {"allowedNetworks": [f"{ALLOWED}/32"]},
        "file": {"root": str(tmp_path_factory.mktemp("files"))},
    }
    tools = json.dumps(tools_endpoint(*TOOLS, concurrency=16, **settings).to_wire())
    with (
        worker_process(url, TOOL_QUEUE, model_server.url, concurrency=16) as asking,
        worker_process(url, TOOL_QUEUE, model_server.url, TASKFLEET_ENDPOINT=tools) as calling,
    ):
        for worker in (asking, calling):
            wait_until(lambda worker=worker: worker.said("working"), "a worker to work", timeout=START_SECONDS)
        yield TOOL_QUEUE


@pytest.fixture(scope="session")
def site() -> Iterator[Server]:
    with serving(ALLOWED) as server:
        yield server


@pytest.fixture
def tools(bench: Bench, tool_queue: QueueKey) -> Bench:
    """The same for the queue with tools."""
    return Bench(bench.store, tool_queue, bench.stub, bench.word, bench.folder)


Ask = Callable[[str], str]


@pytest.fixture
def ask(bench: Bench) -> Ask:
    """The action that asks the model something in which this test's word is."""
    return lambda text: f"{bench.word} {text}"
