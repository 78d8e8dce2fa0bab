"""The twin for scripts: the same methods without an event loop."""

import inspect
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from taskfleet import HandlerTask, ParallelTaskQueue, SyncParallelTaskQueue
from taskfleet.core.errors import AlreadyRunning, InputError, NotRunning, WaitTimeout


async def echo(task: HandlerTask) -> str:
    return f"echo: {task.prompt}"


def test_a_script_submits_waits_cancels_and_counts() -> None:
    threads = threading.active_count()
    with SyncParallelTaskQueue(handler=echo) as queue:
        task_id = queue.submit("hello", priority="high")
        assert queue.wait_for_task(task_id).response == "echo: hello"
        batch = queue.submit_batch(["a", "b"])
        assert [task.response for task in queue.wait_for_batch(batch)] == ["echo: a", "echo: b"]
        later = queue.submit("later", delay=100)
        with pytest.raises(WaitTimeout):
            queue.wait_for_task(later, timeout=0)
        assert queue.get_status(later) == "pending"
        assert queue.cancel(later)
        queue.join(timeout=10)
        assert (queue.get_task(later).status, queue.get_stats().completed, queue.errors()) == ("cancelled", 3, [])
        with pytest.raises(AlreadyRunning):
            queue.start()
        assert queue.cancel_all() == 0
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    for call in (queue.stop, queue.get_stats, lambda: queue.submit("x")):
        with pytest.raises(NotRunning):
            call()


def test_an_answer_is_read_in_a_script() -> None:
    with SyncParallelTaskQueue(handler=echo) as queue:
        seen = list(queue.events(queue.submit("hello", stream=True)))
    assert [event.kind for event in seen] == ["started", "chunk", "finished"]


def test_a_dataset_in_a_script() -> None:
    with SyncParallelTaskQueue(handler=echo) as queue:
        results = queue.process_dataset(({"text": str(number)} for number in range(300)), prompt="Say {text}")
        assert [task.response for task in results] == [f"echo: Say {number}" for number in range(300)]


def test_it_cannot_wait_for_itself() -> None:
    async def asks(task: HandlerTask) -> str:
        queue.wait_for_task(task.id)
        return "never"

    with SyncParallelTaskQueue(handler=asks, policy={"retry": {"maxAttempts": 1}}) as queue:
        task = queue.wait_for_task(queue.submit("x"))
    assert task.status == "failed"
    assert "would wait for itself" in str(task.error)
    with pytest.raises(InputError, match="max_workers"):
        SyncParallelTaskQueue(max_workers=0)


def test_what_would_end_a_program_ends_the_call_that_it_is_raised_in_and_hangs_no_other() -> None:
    def interrupts(_row: object) -> str:
        raise KeyboardInterrupt

    with SyncParallelTaskQueue(handler=echo) as queue:
        with pytest.raises(KeyboardInterrupt):
            queue.process_dataset(["a"], prompt=interrupts)
        with pytest.raises(SystemExit):
            queue.submit_batch(sys.exit(3) for _ in range(1))
        assert queue.wait_for_task(queue.submit("hello"), timeout=20).response == "echo: hello"


def test_the_twins_have_the_same_methods() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}

    assert methods(SyncParallelTaskQueue) == methods(ParallelTaskQueue)
    for name in ("__init__", *methods(ParallelTaskQueue)):
        mine, theirs = (getattr(kind, name) for kind in (SyncParallelTaskQueue, ParallelTaskQueue))
        if callable(mine):
            assert inspect.signature(mine).parameters == inspect.signature(theirs).parameters, name


SCRIPT = """
import asyncio, sys
from taskfleet import SyncParallelTaskQueue
async def slow(task):
    print("one runs", flush=True)
    await asyncio.sleep(60)
try:
    with SyncParallelTaskQueue(handler=slow, max_workers=1) as queue:
        queue.process_dataset(["a", "b"], output=sys.argv[1], checkpoint=sys.argv[2])
except KeyboardInterrupt:
    print("ended")
"""


def test_ctrl_c_ends_a_script_in_the_middle_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out.jsonl"), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "one runs\n"
        threads = Path(f"/proc/{script.pid}/task").glob("*/children")
        store = [child for thread in threads for child in thread.read_text().split()]
        script.send_signal(signal.SIGINT)
        said = script.communicate(timeout=30)
    assert (*said, script.returncode) == ("ended\n", "", 0)
    assert store, "there was one"
    assert not any(Path("/proc", process).exists() for process in store), "the store ends with it"
    assert [file.name for file in tmp_path.iterdir()] == ["run"], "the checkpoint, and no half output"
