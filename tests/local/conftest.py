"""Fixtures for a whole `up`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import taskfleet as taskfleet  # a fixture
from tests.support.laptop import Laptop, laptop
from tests.support.modelstub import ModelStub


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub_model: ModelStub) -> Iterator[Laptop]:
    """A laptop with one queue `demo` and a pool on the stub model; not started."""
    monkeypatch.delenv("TASKFLEET_STORE_URL", raising=False)
    with laptop(tmp_path) as own:
        own.write(stub_model.url)
        yield own
