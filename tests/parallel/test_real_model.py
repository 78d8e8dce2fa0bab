"""What a real small model (SmolLM2, of 135 million parameters) is good for in <AUTO>, on the queue and its worker."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from taskfleet.core.parallel.rules import RunState
from taskfleet.core.task import QueueKey
from taskfleet.parallel.addresses import addresses
from taskfleet.store import Store
from tests.parallel.conftest import START_SECONDS, Bench
from tests.support.realmodel import serving_real_model
from tests.support.waiting import wait_until
from tests.support.workerprocess import MODEL, quick_policy, worker_process

QUEUE = QueueKey("test", "realmodel")
LINES = (
    "1. Claim 1 is told [there](http://127.0.0.1:8099/page/1).",
    "2. Claim 2 is told [there](http://127.0.0.1:8099/moved/2).",
    "- https://example.com/a",
    "Bees dance to tell where food is (https://en.wikipedia.org/wiki/Waggle_dance). Others doubt it.",
)


@pytest.fixture(scope="module")
def served(valkey_server: Any) -> Iterator[QueueKey]:
    """A queue that the model serves."""
    url = f"valkey://127.0.0.1:{valkey_server.port}"

    async def open_queue() -> None:
        store = await Store.connect(url)
        await store.put_policy(QUEUE, quick_policy(models=[{"name": MODEL}], taskTimeout="120s"))
        await store.close()

    asyncio.run(open_queue())
    with serving_real_model() as model, worker_process(url, QUEUE, model, concurrency=4) as worker:
        wait_until(lambda: worker.said("working"), "the worker to work", timeout=START_SECONDS)
        yield QUEUE


async def test_it_lists_a_few_things_that_it_knows(bench: Bench) -> None:
    record = await bench.run(
        on="<AUTO>list three colours</AUTO>", action_loop=[{"name": "never", "action": "x", "if": "{{ false }}"}]
    )
    items = [line["item"] for line in await bench.lines()]
    assert record.state is RunState.COMPLETED
    assert len(items) >= 2
    assert {"red", "green", "blue", "yellow"} & {*items}


async def test_it_finds_the_addresses_in_short_texts_and_makes_none_up(bench: Bench) -> None:
    find = {
        "name": "sources",
        "on": "<AUTO>extract every URL in {{ $item }}</AUTO>",
        "onError": "continue",
        "action_loop": [{"name": "never", "action": "x", "if": "{{ false }}"}],
    }
    await bench.run(
        inputs={"document": "\n".join(LINES)}, on="{{ document.splitlines() }}", max_parallel=4, action_loop=[find]
    )
    found, right = [], 0
    for line in await bench.lines():
        there = [*addresses(line["item"])]
        listed = [each["item"] for each in line["steps"]["sources"].get("results", ())]
        found += listed
        right += listed == there
        assert not {*filter(lambda item: str(item).startswith("http"), listed)} - {*there}, "none is made up"
    assert right >= len(LINES) - 1, found
