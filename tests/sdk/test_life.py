"""A queue in a program takes nothing that is the program's, and leaves nothing behind."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from taskfleet import HandlerTask, ParallelTaskQueue
from taskfleet.core.errors import AlreadyRunning, NotRunning
from taskfleet.embedded.datadir import read_up_file
from tests.sdk.test_queue import Gate
from tests.support.waiting import eventually


async def echo(task: HandlerTask) -> str:
    return task.prompt


def stores_in(folder: Path) -> list[int]:
    """Process ids of our embedded stores that have a file in this folder open."""
    listed = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False)
    found = []
    for pid in map(int, listed.stdout.split()):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if any(str(folder) in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(pid)
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made: this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def in_folder(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_signals_and_logging_stay_the_programs_own() -> None:
    handlers = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    root = (logging.getLogger().handlers[:], logging.getLogger().level)
    async with ParallelTaskQueue(handler=echo) as queue:
        await queue.wait_for_task(await queue.submit("x"))
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
        assert (logging.getLogger().handlers[:], logging.getLogger().level) == root


async def test_after_the_end_no_task_process_or_folder_is_left(temporary: Path) -> None:
    tasks = asyncio.all_tasks()
    async with ParallelTaskQueue(handler=echo) as queue:
        await queue.wait_for_task(await queue.submit("x"))
        assert len(in_folder(temporary)) == len(stores_in(temporary)) == 1
    assert in_folder(temporary) == stores_in(temporary) == []
    await eventually(lambda: asyncio.all_tasks() == tasks, "the queue's own tasks to end")


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_a_start_that_is_cancelled_leaves_nothing_wherever_it_was(temporary: Path, turns: int) -> None:
    tasks = asyncio.all_tasks()
    queue = ParallelTaskQueue(handler=echo)
    starting = asyncio.create_task(queue.start())
    for _ in range(turns):
        await asyncio.sleep(0.002)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    if not starting.cancelled():
        await queue.stop()
    assert in_folder(temporary) == stores_in(temporary) == []
    await eventually(lambda: asyncio.all_tasks() == tasks, "its tasks to end")


async def test_stop_lets_running_tasks_end_and_tells_those_who_wait_for_others() -> None:
    gate = Gate()
    queue = ParallelTaskQueue(handler=gate, max_workers=1)
    await queue.start()
    running, waiting = await queue.submit("running"), await queue.submit("waiting")
    waits = [asyncio.create_task(queue.wait_for_task(task_id)) for task_id in (running, waiting)]
    await eventually(lambda: gate.began == ["running"], "it to begin")
    asyncio.get_running_loop().call_later(0.2, gate.open.set)
    await queue.stop(timeout=10)
    first, second = await asyncio.gather(*waits, return_exceptions=True)
    assert getattr(first, "response", first) == "running"
    assert isinstance(second, NotRunning)
    assert "stopped before this task ended; start it again" in str(second)


async def test_the_end_of_a_block_waits_for_a_stop_that_is_under_way_and_so_does_the_next_start(tmp_path: Path) -> None:
    gate = Gate()
    queue = ParallelTaskQueue(handler=gate, data=tmp_path)
    async with queue:
        await queue.submit("running")
        await eventually(lambda: gate.began == ["running"], "it to begin")
        stopping = asyncio.create_task(queue.stop(timeout=10))
        asyncio.get_running_loop().call_later(0.2, gate.open.set)
        await asyncio.sleep(0)
    assert not stores_in(tmp_path)
    await stopping
    await queue.start()
    stopping = asyncio.create_task(queue.stop())
    await asyncio.sleep(0)
    await queue.start()
    await queue.stop()


async def test_stop_with_no_time_stops_at_once_what_runs() -> None:
    gate = Gate()
    queue = ParallelTaskQueue(handler=gate)
    await queue.start()
    await queue.submit("endless")
    await eventually(lambda: gate.began == ["endless"], "it to begin")
    await queue.stop(timeout=0)  # would wait for ever
    assert gate.cancelled == ["endless"]


async def test_tasks_and_results_in_a_data_folder_survive_the_program(tmp_path: Path) -> None:
    gate = Gate()
    async with ParallelTaskQueue(handler=gate, max_workers=1, data=tmp_path / "data") as queue:
        assert read_up_file(tmp_path / "data").pid == os.getpid(), "taskfleet stats --data finds it"
        gate.open.set()
        done = await queue.submit("done")
        await queue.wait_for_task(done)
        later = await queue.submit("later", delay=1.5)
    async with ParallelTaskQueue(handler=gate, max_workers=1, data=tmp_path / "data") as queue:
        assert (await queue.get_task(done)).response == "done"
        assert (await queue.wait_for_task(later, timeout=20)).response == "later"


async def test_two_programs_do_not_share_a_data_folder(tmp_path: Path) -> None:
    async with ParallelTaskQueue(handler=echo, data=tmp_path) as queue:
        with pytest.raises(
            AlreadyRunning, match=r"process \d+\) uses .*another folder with --data \(in Python: data=\)"
        ):
            await ParallelTaskQueue(handler=echo, data=tmp_path).start()
        assert (await queue.wait_for_task(await queue.submit("x"))).response == "x"


async def test_the_store_may_be_killed_in_mid_run_and_nothing_is_lost(tmp_path: Path) -> None:
    async def slow(task: HandlerTask) -> str:
        await asyncio.sleep(0.02)
        return task.prompt

    async with ParallelTaskQueue(handler=slow, max_workers=4, data=tmp_path) as queue:
        batch = await queue.submit_batch([f"p{number}" for number in range(120)])
        await asyncio.sleep(1.2)  # what was accepted is on the disk a second later: the documented loss
        (pid,) = stores_in(tmp_path)
        os.kill(pid, signal.SIGKILL)
        results = await queue.wait_for_batch(batch, timeout=25)
    assert [task.response for task in results] == [f"p{number}" for number in range(120)]


async def test_a_handler_that_blocks_the_loop_is_named_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def blocks(task: HandlerTask) -> str:
        time.sleep(5)  # noqa: ASYNC251  that is the mistake
        return "done"

    async with ParallelTaskQueue(handler=blocks, policy={"leaseDuration": "3s"}) as queue:
        task = await queue.wait_for_task(await queue.submit("x"), timeout=25)
    assert (task.status, task.response) == ("completed", "done")
    told = [record.getMessage() for record in caplog.records if "stood still" in record.getMessage()]
    assert len(told) == 1
    assert "test_life.py, line" in told[0]
    assert "make the handler a plain function" in told[0]


async def test_it_runs_inside_a_loop_that_runs_as_in_a_notebook() -> None:
    async def cell(code: str, names: dict[str, Any]) -> None:
        """A cell of a notebook, as IPython runs it."""
        import ast

        compiled = compile(code, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(compiled, names)
        if asyncio.iscoroutine(result):
            await result

    names: dict[str, Any] = {"echo": echo}
    await cell(
        "from taskfleet import ParallelTaskQueue\nqueue = ParallelTaskQueue(handler=echo)\nawait queue.start()", names
    )
    await cell("results = await queue.process_dataset(['a', 'b'])", names)
    await cell("await queue.stop()", names)
    assert [task.response for task in names["results"]] == ["a", "b"]


def test_the_names_are_imported_only_when_they_are_asked_for() -> None:
    code = "import sys, taskfleet; assert 'taskfleet.sdk' not in sys.modules; from taskfleet import ParallelTaskQueue"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_queue_loads_no_command_line_of_others() -> None:
    code = (
        "import sys; from taskfleet import ParallelTaskQueue; import taskfleet.api.validate;"
        "assert 'prompt_toolkit' not in sys.modules;"
        "import cel; assert cel.evaluate('1 + 1') == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
