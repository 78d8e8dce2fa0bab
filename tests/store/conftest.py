"""A queue that exists, for tests that are not about making one; and what holds for every queue, tested with one in a
single place and with one that is spread over partitions.

A module says so with ``pytestmark = pytest.mark.spread``; of a test in it that is about a single place,
``pytest.mark.one_place(WHY)`` says so.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from taskfleet.core.settlement import QueuePolicy
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.store.given import POLICY

PARTITIONS = 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "partitions" in metafunc.fixturenames and "spread" in marks and "one_place" not in marks:
        metafunc.parametrize("partitions", [1, PARTITIONS], ids=["in one place", f"over {PARTITIONS} partitions"])


@pytest.fixture
def partitions() -> int:
    return 1


class SpreadStore(Store):
    """Every queue that is made with it has partitions."""

    async def put_policy(self, queue: QueueKey, policy: QueuePolicy) -> bool:
        return await super().put_policy(queue, replace(policy, partitions=PARTITIONS))


@pytest.fixture
def store(store_url: str, runner: asyncio.Runner, partitions: int) -> Iterator[Store]:
    """A connected Store on the test's loop."""
    connected = runner.run((Store if partitions == 1 else SpreadStore).connect(store_url))
    yield connected
    runner.run(connected.close())


@pytest.fixture
def opened(store: Store, queue: QueueKey, runner: asyncio.Runner) -> Iterator[QueueKey]:
    """A queue with the usual policy."""
    runner.run(store.put_policy(queue, POLICY))
    yield queue
