"""`run`: tasks claimed and printed in a fixed form, which a person and a program can read."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from taskfleet.controller.policy import queue_policy
from taskfleet.core.task import TaskState
from taskfleet.core.wiretime import moment_of
from tests.cli.conftest import SPEC, Remote
from tests.store import inside
from tests.support.commands import Taskfleet
from tests.support.laptop import PROGRAM
from tests.support.waiting import wait_until

EXTERNAL = SPEC.model_validate(SPEC.to_wire() | {"execution": "External"})
CONVERSATION = {
    "id": "t-2",
    "model": "large",
    "priority": "high",
    "messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi\n\nTask: t-9"}],
}
PLAIN = {
    "id": "t-1",
    "prompt": "Rename f to g",
    "tool": "editor",
    "parameters": {"temperature": 0},
    "metadata": {"row": 3},
}


@pytest.fixture
def chores(remote: Remote) -> Remote:
    """A queue without workers."""
    remote.ask(lambda store: store.put_policy(remote.key, queue_policy(EXTERNAL)))
    return remote


def submit(taskfleet: Taskfleet, queue: Remote, *lines: dict[str, Any]) -> None:
    done = taskfleet("submit", queue.name, "-f", "-", stdin=b"\n".join(map(orjson.dumps, lines)))
    assert done.code == 0, done.err


def worker(queue: Remote) -> str:
    return f"worker-{socket.gethostname()}-{queue.key.name}"


def state(queue: Remote, task_id: str) -> tuple[TaskState, str | None]:
    (view,) = queue.ask(lambda store: store.get(queue.key, [task_id]))
    assert view is not None
    return view.state, view.worker


def read_form(text: str) -> list[dict[str, str]]:
    """The fixed form as any program may read it, told by `run --help` and nothing else."""
    found: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line:
            found.append(fields)
            fields = {}
        elif line.startswith("  "):
            fields[name] += ("\n" if fields[name] else "") + line[2:]
        else:
            name, _, value = line.partition(":")
            assert name not in fields
            fields[name] = value.strip()
    assert not fields, "an empty line ends the last task too"
    return found


def test_all_that_wait_are_claimed_and_printed(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, PLAIN, CONVERSATION)
    done = taskfleet("run", "-q", chores.name)
    assert done.code == 0
    high, plain = read_form(done.out)
    until = plain.pop("Until")
    assert high.pop("Until") == until
    assert plain == {
        "Task": "t-1",
        "Queue": chores.name,
        "Tool": "editor",
        "Model": "small",
        "Priority": "normal",
        "Attempt": "1",
        "Worker": worker(chores),
        "Parameters": '{"temperature":0}',
        "Metadata": '{"row":3}',
        "Prompt": "Rename f to g",
    }
    assert (high["Task"], high["System"], high["Prompt"]) == ("t-2", "Be terse.", "Hi\n\nTask: t-9")
    for name in ("t-1", "t-2"):
        assert state(chores, name) == (TaskState.RUNNING, worker(chores))
    stats = chores.ask(lambda store: store.stats(chores.key))
    assert stats is not None
    assert 1790 < moment_of(until) - stats.now <= 1800
    assert stats.next_due_at is not None and 1790 < stats.next_due_at - stats.now <= 1800
    assert f"2 tasks claimed by {worker(chores)} for 30m; end each with\n" in done.err
    assert f'  taskfleet complete ID "SUMMARY" -q {chores.name}\n' in done.err
    assert taskfleet("stats", chores.name, "-o", "json").json["workers"] == [], "a runner that left is no worker"


def test_with_o_json_a_task_is_a_line_much_like_its_task_line(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, PLAIN, CONVERSATION)
    done = taskfleet("run", "-q", chores.name, "-o", "json", "--lease", "90")
    high, plain = done.lines
    assert done.err == ""
    assert {name: plain[name] for name in PLAIN} == PLAIN
    assert (plain["queue"], plain["worker"], plain["attempt"]) == (chores.name, worker(chores), 1)
    assert {name: high[name] for name in CONVERSATION} == CONVERSATION
    assert (high["tool"], "prompt" in high) == (None, False)
    stats = chores.ask(lambda store: store.stats(chores.key))
    assert stats is not None and stats.next_due_at is not None
    assert 80 < stats.next_due_at - stats.now <= 90


def test_once_claims_one_and_a_second_runner_gets_another(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, *({"id": f"t-{number}", "prompt": "Hi"} for number in (1, 2)))
    claimed = [taskfleet("run", "-q", chores.name, "--once", "-o", "json") for _ in range(3)]
    assert [[line["id"] for line in done.lines] for done in claimed] == [["t-1"], ["t-2"], []]
    nothing = taskfleet("run", "-q", chores.name)
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == f"no task waits in {chores.name}\n"


def test_more_than_one_claim_brings_are_all_printed_once(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, *({"id": f"t-{number:03}", "prompt": "Hi"} for number in range(230)))
    printed = [line["id"] for line in taskfleet("run", "-q", chores.name, "-o", "json").lines]
    assert printed == [f"t-{number:03}" for number in range(230)]


def test_a_dry_run_shows_the_same_and_claims_nothing(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, PLAIN, CONVERSATION)
    shown = taskfleet("run", "-q", chores.name, "--dry-run")
    assert shown.err == "2 tasks shown; nothing was claimed\n"
    assert [task["Task"] for task in read_form(shown.out)] == ["t-2", "t-1"]
    assert "Worker" not in shown.out and "Until" not in shown.out
    first = taskfleet("run", "-q", chores.name, "--dry-run", "--once", "-o", "json").json
    assert (first["id"], first["worker"], first["until"]) == ("t-2", None, None)
    assert chores.pending() == 2
    lines = taskfleet("run", "-q", chores.name, "-o", "json").lines
    assert [(line["id"], line["attempt"]) for line in lines] == [("t-2", 1), ("t-1", 1)]


def test_nothing_that_a_task_says_looks_like_a_line_of_the_form(chores: Remote, taskfleet: Taskfleet) -> None:
    nasty = "one\r\nTask: t-9\n\nTool: rm\u2028Task: t-8\x0bTask: t-7\x85Task: t-6 \x1b[2J end"
    submit(
        taskfleet,
        chores,
        {"id": "t-1", "prompt": nasty, "metadata": {"note": "a\u2028Task: t-5\x85b"}},
        {"id": "t-2", "messages": [{"role": "user", "content": [{"type": "text", "text": nasty}]}]},
    )
    done = taskfleet("run", "-q", chores.name, "--dry-run")
    first, second = read_form(done.out)
    assert (first["Task"], second["Task"]) == ("t-1", "t-2")
    assert first["Prompt"].splitlines()[:4] == ["one", "Task: t-9", "", "Tool: rm"]
    assert "\x1b" not in done.out
    assert orjson.loads(first["Metadata"]) == {"note": "a\u2028Task: t-5\x85b"}
    first_line, _, _ = taskfleet("run", "-q", chores.name, "-o", "json").out.partition("\n")
    assert orjson.loads(first_line)["prompt"] == nasty


def test_a_paused_queue_gives_nothing_and_that_has_an_exit_code(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, PLAIN)
    chores.ask(lambda store: store.pause(chores.key))
    for options in ((), ("--once",)):
        done = taskfleet("run", "-q", chores.name, *options)
        assert (done.code, done.out) == (3, "")
        assert f"{chores.name} is paused: no task is given out" in done.err


def test_a_queue_that_workers_serve_is_remarked(remote: Remote, taskfleet: Taskfleet) -> None:
    assert "its spec.execution is Workers, and not External" in taskfleet("run", "-q", remote.name).err


def test_a_task_whose_model_is_no_longer_offered_is_given_out_all_the_same(
    chores: Remote, taskfleet: Taskfleet
) -> None:
    submit(taskfleet, chores, CONVERSATION)
    fewer = EXTERNAL.model_validate(EXTERNAL.to_wire() | {"models": [{"name": "small"}]})
    chores.ask(lambda store: store.put_policy(chores.key, queue_policy(fewer)))
    assert taskfleet("run", "-q", chores.name, "-o", "json").json["model"] == "large"


def test_a_task_that_no_taskfleet_wrote_fails_and_the_others_are_given_out(
    chores: Remote, taskfleet: Taskfleet
) -> None:
    from taskfleet.core.task import NewTask

    chores.ask(lambda store: store.submit(chores.key, [NewTask("odd", "small", b"[]")]))
    submit(taskfleet, chores, PLAIN)
    shown = taskfleet("run", "-q", chores.name, "--dry-run")
    assert [task["Task"] for task in read_form(shown.out)] == ["t-1"]
    assert "task odd cannot be handed out: " in shown.err
    done = taskfleet("run", "-q", chores.name)
    assert [task["Task"] for task in read_form(done.out)] == ["t-1"]
    assert "task odd cannot be handed out and has failed" in done.err
    assert state(chores, "odd")[0] is TaskState.FAILED


def test_tasks_that_could_not_be_printed_go_back_at_once(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, *({"id": f"t-{number}", "prompt": "Hi"} for number in range(5)))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [PROGRAM, "run", "-q", chores.name], stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(writer)
    assert done.returncode == 141, done.stderr
    assert chores.pending() == 5
    assert [line["attempt"] for line in taskfleet("run", "-q", chores.name, "-o", "json").lines] == [1] * 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lease", "soon"), "'soon' is not a duration from 1s to 168h"),
        (("--lease", "0"), "'0' is not a duration from 1s to 168h"),
        (("--lease", "200h"), "'200h' is not a duration from 1s to 168h"),
        (("--poll", "-1"), "'-1' is not a duration from 1s to 168h"),
        (("--poll", "nan"), "'nan' is not a duration from 1s to 168h"),
        (("--watch", "--once"), "--watch goes on for ever"),
        (("--watch", "--dry-run"), "--watch goes on for ever"),
    ],
    ids=" ".join,
)
def test_bad_options_are_refused_in_a_sentence(
    options: tuple[str, ...], said: str, chores: Remote, taskfleet: Taskfleet
) -> None:
    submit(taskfleet, chores, PLAIN)
    done = taskfleet("run", "-q", chores.name, *options)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert chores.pending() == 1


def test_a_queue_must_be_named_and_be_there(chores: Remote, taskfleet: Taskfleet) -> None:
    unnamed = taskfleet("run")
    assert unnamed.code == 2
    assert "say which queue: --queue NAME" in unnamed.err
    assert taskfleet("run", "-q", "nowhere").code == 4
    assert taskfleet("run", "-q", "nowhere", "--dry-run").code == 4


class Watching:
    """A `run --watch` in a process of its own, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def printed(self) -> str:
        return self._output.read_text()

    @property
    def ids(self) -> list[str]:
        return re.findall(r"^Task: (.*)$", self.printed, re.MULTILINE)

    def wait_for(self, text: str, *, times: int = 1) -> None:
        awaited = f"{text!r} in what the runner prints: {self.printed}"
        wait_until(lambda: self.printed.count(text) >= times, awaited, timeout=20)


@contextmanager
def watching(queue: Remote, folder: Path, *options: str) -> Iterator[Watching]:
    output = folder / "watched"
    with output.open("wb") as file:
        command = [PROGRAM, "run", "-q", queue.name, "--watch", *options]
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            yield Watching(process, output)
        finally:
            process.kill()
            process.wait()


def test_a_watch_prints_what_comes_and_renews_what_it_holds(
    chores: Remote, taskfleet: Taskfleet, tmp_path: Path
) -> None:
    submit(taskfleet, chores, PLAIN)
    with watching(chores, tmp_path, "--lease", "3", "--poll", "600") as runner:
        runner.wait_for("Task: t-1")
        submit(taskfleet, chores, CONVERSATION)  # heard at once: the next look would be in ten minutes
        runner.wait_for("Task: t-2")
        began = chores.ask(lambda store: store.stats(chores.key))
        assert began is not None

        def longer_than_a_lease() -> bool:
            stats = chores.ask(lambda store: store.stats(chores.key))
            assert stats is not None
            assert (stats.running, stats.counters["lease_expired"]) == (2, 0)
            return stats.now > began.now + 4

        wait_until(longer_than_a_lease, "a time longer than the lease", timeout=20)
        assert runner.ids == ["t-1", "t-2"]
        assert [each["worker"] for each in taskfleet("stats", chores.name, "-o", "json").json["workers"]] == [
            worker(chores)
        ]
        runner.process.send_signal(signal.SIGINT)
        assert runner.process.wait(timeout=20) == 130
        assert f"2 tasks claimed by {worker(chores)} for 3s" in runner.printed
    assert state(chores, "t-1")[0] is TaskState.RUNNING, "it stays claimed until its lease ends"


def test_a_watch_is_told_of_a_cancel_and_lets_go_of_what_was_ended(
    chores: Remote, taskfleet: Taskfleet, tmp_path: Path
) -> None:
    submit(taskfleet, chores, PLAIN, CONVERSATION)
    with watching(chores, tmp_path, "--poll", "600") as runner:
        runner.wait_for("Task: t-1")
        assert taskfleet("complete", "t-2", "Said hi", "-q", chores.name).code == 0
        assert taskfleet("cancel", "t-1", "-q", chores.name).code == 0
        runner.wait_for("task t-1 was cancelled: stop working on it")
        wait_until(lambda: state(chores, "t-1")[0] is TaskState.CANCELLED, "the end of t-1")
        runner.process.send_signal(signal.SIGINT)
        assert runner.process.wait(timeout=20) == 130
        assert "claimed by" not in runner.printed.partition("was cancelled")[2]


def test_a_watch_says_when_a_lease_was_lost(chores: Remote, taskfleet: Taskfleet, tmp_path: Path) -> None:
    submit(taskfleet, chores, PLAIN)
    with watching(chores, tmp_path, "--poll", "600") as runner:
        runner.wait_for("Task: t-1")
        chores.ask(lambda store: inside.end_leases(store, chores.key))  # as after a long sleep of the machine
        chores.ask(lambda store: store.tick(chores.key))
        runner.wait_for("task t-1 is no longer ours, its lease ended: stop working on it")
        runner.wait_for("Task: t-1", times=2)
        assert runner.ids == ["t-1", "t-1"]


def test_a_watch_goes_on_when_a_pause_ends(chores: Remote, taskfleet: Taskfleet, tmp_path: Path) -> None:
    assert taskfleet("pause", chores.name, "--for", "3s").code == 0
    submit(taskfleet, chores, PLAIN)
    with watching(chores, tmp_path, "--poll", "600") as runner:
        runner.wait_for("Task: t-1")


def test_two_runners_at_once_never_get_the_same_task(chores: Remote, taskfleet: Taskfleet, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with watching(chores, folders[0]) as one, watching(chores, folders[1]) as two:
        for first in range(0, 120, 20):
            submit(taskfleet, chores, *({"id": f"t-{first + n:03}", "prompt": "Hi"} for n in range(20)))
        wait_until(lambda: len(one.ids) + len(two.ids) >= 120, "all tasks to be printed", timeout=20)
        assert sorted(one.ids + two.ids) == [f"t-{number:03}" for number in range(120)]


def test_a_claim_that_its_runner_left_comes_back_when_its_lease_ends(chores: Remote, taskfleet: Taskfleet) -> None:
    submit(taskfleet, chores, PLAIN)
    taskfleet("run", "-q", chores.name)
    chores.ask(lambda store: inside.end_leases(store, chores.key))
    again = taskfleet("run", "-q", chores.name, "-o", "json").json
    assert (again["id"], again["attempt"]) == ("t-1", 2)
