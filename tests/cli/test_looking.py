"""`status`, `result`, `cancel` and `stats`: what a script reads and what a person reads."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from taskfleet.cli.resultfile import whole_file
from taskfleet.core.settlement import WorkerReport
from tests.cli.conftest import Remote
from tests.support.commands import Taskfleet
from tests.support.laptop import PROGRAM


@pytest.fixture
def batch(remote: Remote, taskfleet: Taskfleet) -> Remote:
    """Batch ``b`` of tasks t-0 to t-4 in the queue."""
    lines = b"".join(b'{"id": "t-%d", "prompt": "p%d", "metadata": {"n": %d}}\n' % (n, n, n) for n in range(5))
    assert taskfleet("submit", remote.name, "-f", "-", "--batch", "b", stdin=lines).code == 0
    return remote


def test_status_of_a_task_before_and_after(batch: Remote, taskfleet: Taskfleet) -> None:
    assert taskfleet("status", "t-1", "-q", batch.name).out.startswith(f"task t-1 in {batch.name}: pending\n")
    batch.work()
    done = taskfleet("status", "t-1", "-q", batch.name, "-o", "json")
    assert done.json["state"] == "completed"
    assert done.json["queue"] == batch.name
    assert "output" not in done.json


def test_status_of_a_batch(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work(failing="p4", count=5)
    done = taskfleet("status", "--batch", "b", "-q", batch.name)
    assert done.out == f"batch b in {batch.name}: 5 tasks: 4 completed, 1 failed\n"
    assert taskfleet("status", "--batch", "b", "-q", batch.name, "-o", "json").json == {
        "queue": batch.name,
        "id": "b",
        "total": 5,
        "completed": 4,
        "failed": 1,
        "cancelled": 0,
        "expired": 0,
        "open": 0,
        "done": True,
    }


def test_result_of_one_task_is_its_text(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work()
    done = taskfleet("result", "t-2", "-q", batch.name)
    assert (done.code, done.out, done.err) == (0, "did t-2\n", "")


def test_result_of_a_failed_task_is_its_error_and_exit_code_1(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work(failing="p2")
    done = taskfleet("result", "t-2", "-q", batch.name)
    assert (done.code, done.out) == (1, "")
    assert "bad_request: no such thing" in done.err


def test_result_of_an_unfinished_task_is_exit_code_3(batch: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("result", "t-2", "-q", batch.name)
    assert (done.code, done.out) == (3, "")
    assert done.err == "1 task of 1 not finished yet; ask again later\n"


def test_results_come_in_the_order_asked_for(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work()
    done = taskfleet("result", "t-3", "t-1", "-q", batch.name, "-o", "json")
    assert [line["id"] for line in done.lines] == ["t-3", "t-1"]
    assert list(done.lines[0]) == [
        "id",
        "status",
        "output",
        "error",
        "attempts",
        "model",
        "requested_model",
        "endpoint",
        "usage",
        "queue_seconds",
        "run_seconds",
        "metadata",
    ]
    assert done.lines[0]["metadata"] == {"n": 3}


def test_results_of_a_batch_for_people_are_a_line_each(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work(failing="p1", count=4)
    done = taskfleet("result", "--batch", "b", "-q", batch.name)
    assert done.code == 1
    assert done.out.splitlines()[:2] == ["t-0\tcompleted\tdid t-0", "t-1\tfailed\tbad_request: no such thing"]
    assert "1 task of 5 not finished yet" in done.err


def test_result_file_is_whole_or_not_there(batch: Remote, taskfleet: Taskfleet, tmp_path: Path) -> None:
    batch.work(count=3)
    out = tmp_path / "r.jsonl"
    out.write_text("old\n")
    done = taskfleet("result", "--batch", "b", "-q", batch.name, "--out", out, "-o", "json")
    assert done.code == 3
    assert (done.json["completed"], done.json["pending"], done.json["out"]) == (3, 2, str(out))
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["status"] for line in results] == ["completed"] * 3 + ["pending"] * 2
    assert taskfleet("result", "--batch", "nope", "-q", batch.name, "--out", out).code == 4
    assert len(out.read_text().splitlines()) == 5, "what was there stays when nothing is to be written"
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_result_file_that_is_broken_off_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_text("old\n")
    with pytest.raises(ConnectionError), whole_file(out) as file:
        file.write(b"half")
        raise ConnectionError
    assert out.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [out]


def test_cancel_of_tasks_in_every_state(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work(count=1)
    batch.ask(lambda store: store.claim(batch.key, "w-1", ["small"], 1))
    done = taskfleet("cancel", "t-0", "t-1", "t-2", "-q", batch.name, "-o", "json")
    assert done.json == {"cancelled": 1, "cancelling": 1, "finished": 1, "not_found": 0}
    assert taskfleet("result", "t-2", "-q", batch.name).code == 1


def test_cancel_of_a_batch_takes_what_is_left(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work(count=2)
    done = taskfleet("cancel", "--batch", "b", "-q", batch.name)
    assert (done.code, done.out) == (0, "3 tasks cancelled\n")
    assert batch.pending() == 0
    assert taskfleet("cancel", "--batch", "b", "-q", batch.name).out == "nothing was left to cancel\n"


def test_stats_shows_every_number(batch: Remote, taskfleet: Taskfleet) -> None:
    batch.work(failing="p1", count=2)
    numbers = taskfleet("stats", batch.name, "-o", "json").json
    assert (numbers["pending"], numbers["completed"], numbers["failed"]) == (3, 1, 1)
    assert numbers["depth"]["normal"] == 3
    assert numbers["counters"]["enqueued"] == 5
    assert numbers["oldest_pending_seconds"] >= 0
    rows = dict(line.split("\t") for line in taskfleet("stats", batch.name).out.splitlines())
    assert (rows["pending"], rows["completed"], rows["failed"]) == ("3", "1", "1")
    assert rows["total enqueued"] == "5"
    assert rows["total failed"] == "1"
    assert rows["workers"] == "0"
    assert rows["pending, priority normal"] == "3"


def test_stats_tells_what_workers_complain_of(batch: Remote, taskfleet: Taskfleet) -> None:
    report = WorkerReport("w-1", "pool", "llm", slots=2, inflight=0, trouble="the endpoint refuses our API key (401)")
    batch.ask(lambda store: store.heartbeat(batch.key, report, {}))
    done = taskfleet("stats", batch.name)
    assert "workers\t1\n" in done.out
    assert done.err == "trouble: pool/llm: the endpoint refuses our API key (401)\n"
    assert taskfleet("stats", batch.name, "-o", "json").json["workers"][0]["trouble"] == report.trouble


def test_what_is_nowhere_is_exit_code_4(batch: Remote, taskfleet: Taskfleet) -> None:
    for arguments in (
        ("status", "t-99", "-q", batch.name),
        ("status", "--batch", "no", "-q", batch.name),
        ("result", "t-1", "t-99", "-q", batch.name),
        ("result", "--batch", "no", "-q", batch.name),
        ("cancel", "t-99", "-q", batch.name),
        ("cancel", "--batch", "no", "-q", batch.name),
        ("stats", "no-such"),
    ):
        done = taskfleet(*arguments)
        assert done.code == 4, (arguments, done)
        assert done.err.startswith("taskfleet: there is no ")
        assert len(done.err.splitlines()) == 1


def test_ids_or_a_batch_but_not_both_and_not_neither(batch: Remote, taskfleet: Taskfleet) -> None:
    for command in ("status", "result", "cancel"):
        assert taskfleet(command).code == 2
        assert taskfleet(command, "t-1", "--batch", "b").code == 2


def test_a_store_elsewhere_needs_the_queue_by_name(batch: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("status", "t-1")
    assert done.code == 2
    assert "--queue NAME" in done.err


def test_a_reader_that_goes_away_is_no_error_message(batch: Remote) -> None:
    batch.work()
    command = [PROGRAM, "result", "--batch", "b", "-q", batch.name, "-o", "json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
