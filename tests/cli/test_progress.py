"""`progress` tells how far a claimed task is, and `status --watch` shows what is told, as it comes."""

import threading

import orjson
import pytest

from taskfleet.core.events import Progress, Publication
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import LeasedTask
from taskfleet.store import Store
from tests.cli.conftest import Remote
from tests.support.commands import Taskfleet
from tests.support.waiting import eventually


@pytest.fixture
def held(remote: Remote, taskfleet: Taskfleet) -> Remote:
    """A queue whose task t-1 somebody has claimed, and in which t-2 waits."""
    for name in ("t-1", "t-2"):
        assert taskfleet("submit", remote.name, "Hi", "--id", name).code == 0
    claim(remote)
    return remote


def claim(queue: Remote) -> LeasedTask:
    (task,) = queue.ask(lambda store: store.claim(queue.key, "w-9", ["small"], 1)).tasks
    return task


@pytest.mark.parametrize(
    ("arguments", "words", "fraction", "message"),
    [
        (("0.4",), "40%", 0.4, ""),
        (("40%", "-m", "4 of 10"), "40%, 4 of 10", 0.4, "4 of 10"),
        (("--message", "waits"), "waits", None, "waits"),
        (("0",), "0%", 0.0, ""),
        (("1",), "100%", 1.0, ""),
    ],
)
def test_progress_is_told_and_shown(
    held: Remote, taskfleet: Taskfleet, arguments: tuple[str, ...], words: str, fraction: float | None, message: str
) -> None:
    done = taskfleet("progress", "t-1", *arguments, "-q", held.name)
    assert (done.code, done.out, done.err) == (0, f"task t-1 in {held.name}: {words}\n", "")
    assert f"  progress   {words}\n" in taskfleet("status", "t-1", "-q", held.name).out
    told = taskfleet("status", "t-1", "-q", held.name, "-o", "json").json["progress"]
    assert told == {"fraction": fraction, "message": message}
    as_json = taskfleet("progress", "t-1", *arguments, "-q", held.name, "-o", "json").json
    assert as_json == {"id": "t-1", "queue": held.name, "fraction": fraction, "message": message}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("half",), "FRACTION: 'half' is not a number"),
        (("1.5",), "1.5 is not a fraction"),
        (("101%",), "1.01 is not a fraction"),
        (("nan",), "nan is not a fraction"),
        (("--", "-0.1"), "-0.1 is not a fraction"),
        ((), "it says nothing"),
        (("--message", "x" * 1001), "has 1001 characters"),
        (("--message", "\udcff"), "is not UTF-8"),
    ],
)
def test_what_is_no_progress_is_refused(
    held: Remote, taskfleet: Taskfleet, arguments: tuple[str, ...], words: str
) -> None:
    done = taskfleet("progress", "t-1", "-q", held.name, *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_what_nobody_runs_has_no_progress(held: Remote, taskfleet: Taskfleet) -> None:
    assert taskfleet("progress", "t-2", "0.5", "-q", held.name).code == 7
    assert taskfleet("progress", "nowhere", "0.5", "-q", held.name).code == 4
    assert taskfleet("complete", "t-1", "done", "-q", held.name).code == 0
    assert taskfleet("progress", "t-1", "0.5", "-q", held.name).code == 8


def test_watch_shows_what_was_told_and_ends_with_the_task(remote: Remote, taskfleet: Taskfleet) -> None:
    line = orjson.dumps({"id": "t-1", "prompt": "Hi", "stream": True})
    assert taskfleet("submit", remote.name, "-f", "-", stdin=line).code == 0
    first = claim(remote)
    remote.ask(lambda store: store.publish(remote.key, [told(first, "half\x1b[2J", "an ans")]))
    remote.ask(lambda store: store.settle(remote.key, [Settlement("t-1", first.fence, Verdict.RETRY)]))
    second = claim(remote)
    remote.ask(lambda store: store.publish(remote.key, [told(second, "the whole ", "answer")]))
    remote.ask(lambda store: store.progress(remote.key, "t-1", second.fence, Progress(0.9, "nearly")))
    remote.ask(lambda store: store.settle(remote.key, [Settlement("t-1", second.fence, Verdict.COMPLETE, output="x")]))
    done = taskfleet("status", "t-1", "--watch", "-q", remote.name)
    assert done.code == 0
    assert done.out.split("-- ", 1)[1] == (
        "attempt 1 by w-9\nhalf\\x1b[2Jan ans\n-- attempt 2 by w-9; what came before is void\n"
        "the whole answer\n-- 90%, nearly\n-- completed\n"
    )
    state, *events = taskfleet("status", "t-1", "--watch", "-q", remote.name, "-o", "json").lines
    assert state["state"] == "completed"
    assert [event["kind"] for event in events] == [
        *("started", "chunk", "chunk", "restarted", "chunk", "chunk", "progress", "finished")
    ]
    assert events[-1]["data"] == {"state": "completed", "attempts": 2}


def told(task: LeasedTask, *texts: str) -> Publication:
    chunks = [orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    return Publication(task.id, task.fence, 1, chunks, {})


def test_watch_waits_for_a_task_that_is_told_of_later(held: Remote, taskfleet: Taskfleet) -> None:
    async def go_on(store: Store) -> None:
        async def followed() -> bool:
            stats = await store._connection.call("PUBSUB", "NUMSUB", f"tf:{{{held.key}}}:events:t-1")
            return bool(stats[0][1] if isinstance(stats[0], tuple) else stats[1])

        await eventually(followed, "the command to listen")
        lease = await store.current_lease(held.key, "t-1")
        assert lease is not None
        await store.progress(held.key, "t-1", lease.fence, Progress(0.5))
        await store.settle(held.key, [Settlement("t-1", lease.fence, Verdict.COMPLETE, output="x")])

    agent = threading.Thread(target=lambda: held.ask(go_on))
    agent.start()
    done = taskfleet("status", "t-1", "--watch", "-q", held.name)
    agent.join()
    assert done.out.endswith("-- attempt 1 by w-9\n-- 50%\n-- completed\n")


def test_a_batch_is_not_watched(remote: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("status", "--batch", "b", "--watch", "-q", remote.name)
    assert done.code == 2
    assert "--watch is for one task" in done.err
