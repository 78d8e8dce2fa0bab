"""A queue that exists, for tests that are not about making one."""

import asyncio
from collections.abc import Iterator

import pytest

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.store.given import POLICY


@pytest.fixture
def opened(store: Store, queue: QueueKey, runner: asyncio.Runner) -> Iterator[QueueKey]:
    """A queue with the usual policy."""
    runner.run(store.put_policy(queue, POLICY))
    yield queue
