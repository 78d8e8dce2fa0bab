"""What the tests of the worker share."""

import asyncio
from collections.abc import Iterator

import pytest

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.modelstub import ModelStub
from tests.support.work import Work


@pytest.fixture
def work(store: Store, queue: QueueKey) -> Work:
    return Work(store, queue)


@pytest.fixture
def model(runner: asyncio.Runner) -> Iterator[ModelStub]:
    """A stub model server on the test's own loop."""
    stub = ModelStub()
    runner.run(stub.start())
    yield stub
    runner.run(stub.stop())
