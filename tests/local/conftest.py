"""Fixtures for a whole `up`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.laptop import Laptop, laptop
from tests.support.modelstub import ModelStub


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laptop]:
    """A laptop without manifests yet."""
    monkeypatch.delenv("TASKFLEET_STORE_URL", raising=False)
    with laptop(tmp_path) as own:
        yield own


@pytest.fixture
def ready(machine: Laptop, stub_model: ModelStub) -> Laptop:
    """A laptop with one queue `demo` and a pool on the stub model; not started."""
    machine.write(stub_model.url)
    return machine
