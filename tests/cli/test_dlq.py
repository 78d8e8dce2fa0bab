"""`dlq`: what failed is listed, shown, brought back or removed."""

import json

import pytest

from tests.cli.conftest import Remote
from tests.support.commands import Taskfleet


@pytest.fixture
def failed(remote: Remote, taskfleet: Taskfleet) -> Remote:
    """Batch ``b`` of tasks t-0 to t-3, of which t-1 and t-2 failed and the others are done."""
    lines = b"".join(
        b'{"id": "t-%d", "prompt": "%s %d"}\n' % (n, b"bad" if n in (1, 2) else b"good", n) for n in range(4)
    )
    assert taskfleet("submit", remote.name, "-f", "-", "--batch", "b", stdin=lines).code == 0
    remote.work(failing="bad")
    return remote


def test_list_for_people_and_for_scripts(failed: Remote, taskfleet: Taskfleet) -> None:
    rows = [line.split("\t") for line in taskfleet("dlq", "list", failed.name).out.splitlines()]
    assert rows[0] == ["id", "failed", "attempts", "error"]
    assert [(row[0], row[2], row[3]) for row in rows[1:]] == [
        ("t-1", "1", "bad_request: no such thing"),
        ("t-2", "1", "bad_request: no such thing"),
    ]
    lines = taskfleet("dlq", "list", failed.name, "-o", "json").lines
    assert [(line["id"], line["state"], line["error"]["code"]) for line in lines] == [
        ("t-1", "failed", "bad_request"),
        ("t-2", "failed", "bad_request"),
    ]
    assert lines[0]["failed_at"] > 1e9


def test_list_says_when_there_are_none_or_more(failed: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("dlq", "list", failed.name, "--limit", 1)
    assert len(done.out.splitlines()) == 2
    assert done.err == "and more than these 1; see --limit\n"
    assert taskfleet("dlq", "list", failed.name, "--error", "timeout").out == "no dead letters\n"


def test_show_tells_the_error_and_the_messages(failed: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("dlq", "show", failed.name, "--id", "t-1")
    assert done.out.startswith(f"task t-1 in {failed.name}: failed\n")
    assert "bad_request: no such thing" in done.out and '"content": "bad 1"' in done.out
    shown = taskfleet("dlq", "show", failed.name, "--id", "t-1", "-o", "json").json
    assert shown["body"]["messages"] == [{"role": "user", "content": "bad 1"}]


@pytest.mark.parametrize("choice", [("--all",), ("--error", "bad_request"), ("--id", "t-1", "--id", "t-2")])
def test_redrive_brings_them_back_and_opens_their_batch(
    failed: Remote, taskfleet: Taskfleet, choice: tuple[str, ...]
) -> None:
    assert taskfleet("dlq", "redrive", failed.name, *choice).out == "2 tasks redriven\n"
    assert taskfleet("status", "--batch", "b", "-q", failed.name, "-o", "json").json["open"] == 2
    failed.work()
    assert taskfleet("result", "t-1", "-q", failed.name).out == "did t-1\n"


def test_redrive_of_another_error_does_nothing(failed: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("dlq", "redrive", failed.name, "--error", "timeout", "-o", "json")
    assert (done.code, done.json) == (0, {"queue": failed.name, "redriven": 0})


def test_purge_removes_them_for_good(failed: Remote, taskfleet: Taskfleet) -> None:
    assert taskfleet("dlq", "purge", failed.name, "--id", "t-1").out == "1 task purged\n"
    assert taskfleet("dlq", "purge", failed.name, "--all", "-o", "json").json == {"queue": failed.name, "purged": 1}
    assert taskfleet("dlq", "list", failed.name, "-o", "json").out == ""
    assert taskfleet("status", "t-1", "-q", failed.name).code == 4


@pytest.mark.parametrize("command", ["show", "redrive", "purge"])
def test_what_is_no_dead_letter_is_exit_code_4_and_nothing_happens(
    failed: Remote, taskfleet: Taskfleet, command: str
) -> None:
    wanted = ("--id", "t-0") if command == "show" else ("--id", "t-1", "--id", "t-0")
    done = taskfleet("dlq", command, failed.name, *wanted, "-o", "json")
    assert done.code == 4
    assert json.loads(done.err)["error"]["message"].startswith("there is no dead letter 't-0'")
    assert len(taskfleet("dlq", "list", failed.name, "-o", "json").lines) == 2


def test_a_queue_that_is_not_there_is_exit_code_4(remote: Remote, taskfleet: Taskfleet) -> None:
    for command, *options in (("list",), ("show", "--id", "t"), ("redrive", "--all"), ("purge", "--all")):
        assert taskfleet("dlq", command, "nowhere", *options).code == 4


@pytest.mark.parametrize("command", ["redrive", "purge"])
@pytest.mark.parametrize("choice", [(), ("--all", "--id", "t-1"), ("--all", "--error", "x")])
def test_which_ones_must_be_said_in_one_way(
    failed: Remote, taskfleet: Taskfleet, command: str, choice: tuple[str, ...]
) -> None:
    done = taskfleet("dlq", command, failed.name, *choice)
    assert done.code == 2
    assert "give --id, --error or --all, one of the three" in done.err
