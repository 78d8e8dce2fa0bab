"""`complete` and `fail`: a claimed task ends by hand, whoever holds it, and everything else says why not."""

import time
from pathlib import Path

import pytest

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import LeasedTask, TaskState, TaskView
from tests.cli.conftest import Remote
from tests.store import inside
from tests.support.commands import Taskfleet


@pytest.fixture
def held(remote: Remote, taskfleet: Taskfleet) -> Remote:
    """A queue whose task t-1 a worker that is gone has claimed, and in which t-2 waits."""
    for name in ("t-1", "t-2"):
        assert taskfleet("submit", remote.name, "Hi", "--id", name).code == 0
    remote.ask(lambda store: store.claim(remote.key, "gone", ["small"], 1))
    return remote


def view(queue: Remote, task_id: str = "t-1") -> TaskView:
    (found,) = queue.ask(lambda store: store.get(queue.key, [task_id]))
    assert found is not None
    return found


def claim(queue: Remote, worker: str = "w-9") -> LeasedTask:
    (task,) = queue.ask(lambda store: store.claim(queue.key, worker, ["small"], 1)).tasks
    return task


def test_a_summary_is_the_output_of_the_task(held: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("complete", "t-1", "Renamed it in 12 files", "-q", held.name)
    assert (done.code, done.out, done.err) == (0, f"task t-1 in {held.name}: completed\n", "")
    ended = view(held)
    assert (ended.state, ended.output, ended.worker) == (TaskState.COMPLETED, "Renamed it in 12 files", "gone")
    assert ended.run_seconds is not None and 0 <= ended.run_seconds < 60
    assert taskfleet("result", "t-1", "-q", held.name).out == "Renamed it in 12 files\n"


def test_data_stands_beside_the_summary(held: Remote, taskfleet: Taskfleet, tmp_path: Path) -> None:
    done = taskfleet("complete", "t-1", "Done", "--data", '{"files": [1, 2]}', "-q", held.name, "-o", "json")
    assert done.json == {"id": "t-1", "queue": held.name, "status": "completed"}
    assert view(held).output == {"summary": "Done", "data": {"files": [1, 2]}}
    claim(held)
    report = tmp_path / "report.json"
    report.write_text("[true, null]")
    assert taskfleet("complete", "t-2", "Done", "--data", f"@{report}", "-q", held.name).code == 0
    assert view(held, "t-2").output == {"summary": "Done", "data": [True, None]}


def test_a_failure_is_final_unless_a_retry_is_asked_for(held: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("fail", "t-1", "--error", "no such function", "--type", "not_there", "-q", held.name)
    bring_back = f"bring it back with `taskfleet dlq redrive {held.name} --id t-1`"
    assert (done.code, done.out) == (0, f"task t-1 in {held.name}: failed; {bring_back}\n")
    ended = view(held)
    assert ended.state is TaskState.FAILED and ended.error is not None
    assert (ended.error.code, ended.error.message) == ("not_there", "no such function")
    assert "t-1\t" in taskfleet("dlq", "list", held.name, "--error", "not_there").out
    assert taskfleet("dlq", "redrive", held.name, "--id", "t-1").code == 0
    assert view(held).state is TaskState.PENDING


def test_a_retry_follows_the_policy_of_the_queue_until_its_attempts_are_used(
    held: Remote, taskfleet: Taskfleet
) -> None:
    held.ask(lambda store: store.cancel(held.key, ["t-2"]))
    for attempt in range(1, 6):
        done = taskfleet("fail", "t-1", "--error", "the site is down", "--retry", "-q", held.name, "-o", "json")
        assert done.code == 0
        assert done.json["attempts"] == attempt
        if attempt < 5:
            assert done.json["status"] == "pending"
            assert 0 < done.json["not_before"] - time.time() < 60
            held.ask(lambda store: inside.make_retries_due(store, held.key))
            assert claim(held).attempt == attempt + 1
    assert done.json["status"] == "failed"
    error = view(held).error
    assert error is not None and (error.code, error.message) == ("task_failed", "the site is down")


def test_a_retry_says_when_in_words(held: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("fail", "t-1", "--error", "the site is down", "--retry", "-q", held.name)
    assert done.out.startswith(f"task t-1 in {held.name}: waits for attempt 2, not before 2")


def test_the_claim_that_is_current_is_ended_and_an_older_one_cannot_undo_it(held: Remote, taskfleet: Taskfleet) -> None:
    held.ask(lambda store: inside.end_leases(store, held.key))
    now = claim(held)
    assert (now.id, now.fence) == ("t-1", 2)
    assert taskfleet("complete", "t-1", "by hand", "-q", held.name).code == 0
    late = [Settlement("t-1", fence, Verdict.COMPLETE, output="late") for fence in (1, 2)]
    assert held.ask(lambda store: store.settle(held.key, late)) == [False, False]
    assert (view(held).output, view(held).worker) == ("by hand", "w-9")


def test_a_claim_whose_lease_has_just_ended_can_still_be_ended(held: Remote, taskfleet: Taskfleet) -> None:
    held.ask(lambda store: inside.end_leases(store, held.key))
    assert taskfleet("complete", "t-1", "just in time", "-q", held.name).code == 0
    assert view(held).output == "just in time"


ENDS = (("complete", "{id}", "Done"), ("fail", "{id}", "--error", "no"), ("fail", "{id}", "--error", "no", "--retry"))


@pytest.mark.parametrize("command", ENDS, ids=["complete", "fail", "retry"])
def test_what_cannot_be_ended_says_why_with_an_exit_code(
    command: tuple[str, ...], held: Remote, taskfleet: Taskfleet
) -> None:
    def end(task_id: str, *options: str) -> tuple[int, str]:
        done = taskfleet(*(word.format(id=task_id) for word in command), "-q", held.name, *options)
        assert done.out == ""
        assert len(done.err.splitlines()) == 1
        return done.code, done.err

    code, said = end("nobody")
    assert (code, "there is no task 'nobody'" in said) == (4, True)
    code, said = end("t-2")
    assert (code, "is pending: nobody has claimed it" in said) == (7, True)
    assert '"code": "not_claimed"' in end("t-2", "-o", "json")[1]
    held.ask(lambda store: store.cancel(held.key, ["t-2"]))
    assert end("t-2") == (
        8,
        f"taskfleet: task 't-2' in {held.name} has been cancelled already; its result stays as it is\n",
    )
    assert taskfleet("complete", "t-1", "first", "-q", held.name).code == 0
    code, said = end("t-1")
    assert (code, "has completed already" in said) == (8, True)
    assert view(held).output == "first"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("complete", "t-1", ""), "SUMMARY: it is empty"),
        (("complete", "t-1", " \n"), "SUMMARY: it is empty"),
        (("complete", "t-1", "\udcff"), "argument '\ufffd' is not UTF-8"),
        (("complete", "t-1"), "Missing argument 'SUMMARY'"),
        (("complete", "t-1", "Done", "--data", "{files: 12}"), "--data: not JSON: "),
        (("complete", "t-1", "Done", "--data", "NaN"), "--data: not JSON: "),
        (("complete", "t-1", "Done", "--data", ""), "--data: not JSON: "),
        (("complete", "t-1", "Done", "--data", "[" * 253 + "]" * 253), "--data: it is nested too deep to be stored"),
        (("complete", "t-1", "Done", "--data", '"\udcff"'), "--data '\"\ufffd\"' is not UTF-8"),
        (("complete", "t-1", "Done", "--data", ".taskfleet"), "(the data folder of `up` is --data-folder here)"),
        (("complete", "t-1", "Done", "--data", "@no-such.json"), "--data @no-such.json: No such file or directory"),
        (("complete", "t-1", "Done", "--data", "@/"), "--data @/: Is a directory"),
        (("fail", "t-1"), "Missing option '--error'"),
        (("fail", "t-1", "--error", ""), "--error: it is empty"),
        (("fail", "t-1", "--error", "\udcff"), "--error '\ufffd' is not UTF-8"),
        (("fail", "t-1", "--error", "x", "--type", "two words"), "--type: 'two words' is not one word"),
        (("fail", "t-1", "--error", "x", "--type", ""), "--type: '' is not one word"),
    ],
    ids=lambda value: " ".join(value).encode("unicode_escape").decode() if isinstance(value, tuple) else "",
)
def test_bad_input_is_a_sentence_and_ends_nothing(
    arguments: tuple[str, ...], said: str, held: Remote, taskfleet: Taskfleet
) -> None:
    done = taskfleet(*arguments, "-q", held.name)
    assert (done.code, said in done.err) == (2, True), done.err
    assert len(done.err.splitlines()) == 1
    assert view(held).state is TaskState.RUNNING


@pytest.mark.parametrize("task_id", ["\udcff", "", "no/such", "x" * 200])
def test_an_id_that_cannot_be_one_is_nowhere(task_id: str, held: Remote, taskfleet: Taskfleet) -> None:
    for command in (("complete", task_id, "Done"), ("fail", task_id, "--error", "x"), ("status", task_id)):
        done = taskfleet(*command, "-q", held.name)
        assert done.code in (2, 4), (command, done)
        assert len(done.err.splitlines()) == 1


def test_data_that_is_too_large_is_refused_before_anything_is_sent(
    held: Remote, taskfleet: Taskfleet, tmp_path: Path
) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b'"' + b"x" * (33 * 2**20) + b'"')
    done = taskfleet("complete", "t-1", "Done", "--data", f"@{large}", "-q", held.name)
    assert (done.code, "it has more than 33554432 bytes" in done.err) == (2, True)
    assert view(held).state is TaskState.RUNNING
