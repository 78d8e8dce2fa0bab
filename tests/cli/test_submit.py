"""`taskfleet submit`: what goes in whole, and what is refused with its line and leaves the queue empty."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskfleet.api.taskqueue import QueueModel
from taskfleet.controller.policy import queue_policy
from tests.cli.conftest import SPEC, Remote
from tests.support.commands import Taskfleet
from tests.support.laptop import PROGRAM
from tests.support.programs import started

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def test_a_prompt_becomes_one_task_of_a_new_batch(taskfleet: Taskfleet, remote: Remote) -> None:
    done = taskfleet("submit", remote.name, "Say hello")
    assert done.code == 0, done.err
    first, status, result = done.out.splitlines()
    batch = first.removeprefix(f"submitted 1 task to {remote.name} as batch ")
    assert status.strip() == f"taskfleet status --batch {batch}"
    assert result.strip() == f"taskfleet result --batch {batch}"
    assert taskfleet("status", "--batch", batch, "-q", remote.name, "-o", "json").json["total"] == 1
    assert remote.pending() == 1


def test_json_output_of_a_submit_is_stable(taskfleet: Taskfleet, remote: Remote) -> None:
    done = taskfleet("submit", remote.name, "hello", "--batch", "b-1", "-o", "json")
    assert done.json == {"queue": remote.name, "batch": "b-1", "tasks": 1}
    assert done.err == ""


def test_model_priority_and_id_of_a_prompt_reach_the_task(taskfleet: Taskfleet, remote: Remote) -> None:
    done = taskfleet("submit", remote.name, "x", "--model", "fast", "--priority", "high", "--id", "t-1")
    assert done.code == 0, done.err
    view = taskfleet("status", "t-1", "-q", remote.name, "-o", "json").json
    assert (view["model"], view["priority"], view["state"]) == ("small", "high", "pending")


def test_the_tool_of_a_prompt_is_told_to_the_agent(taskfleet: Taskfleet, remote: Remote) -> None:
    done = taskfleet("submit", remote.name, "x", "--tool", "two\nlines")
    assert (done.code, remote.pending()) == (2, 0)
    assert "tool: " in done.err
    assert taskfleet("submit", remote.name, "x", "--tool", "editor").code == 0
    assert "editor" in taskfleet("run", "--queue", remote.name, "--dry-run").out


@pytest.fixture
def with_http(remote: Remote) -> Remote:
    """The queue offers the tool http too."""
    spec = SPEC.model_copy(update={"models": [*SPEC.models, QueueModel(name="http")]})
    remote.ask(lambda store: store.put_policy(remote.key, queue_policy(spec)))
    return remote


def test_a_tool_without_a_prompt_is_called_with_its_arguments(taskfleet: Taskfleet, with_http: Remote) -> None:
    arguments = ("url=https://example.com/?a=b", "timeout=5", 'headers={"X-Mine": "1"}', "body=text")
    options = [word for argument in arguments for word in ("--argument", argument)]
    done = taskfleet("submit", with_http.name, "--tool", "http", *options, "--id", "call")
    assert done.code == 0, done.err
    assert taskfleet("status", "call", "-q", with_http.name, "-o", "json").json["model"] == "http"
    shown = taskfleet("run", "--queue", with_http.name, "--dry-run", "-o", "json").json
    assert (shown["tool"], "prompt" in shown) == ("http", False)
    assert shown["arguments"] == {
        "url": "https://example.com/?a=b",
        "timeout": 5,
        "headers": {"X-Mine": "1"},
        "body": "text",
    }
    assert (
        'Arguments: {"url":"https://example.com/?a=b"' in taskfleet("run", "--queue", with_http.name, "--dry-run").out
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tool", "http"], "arguments.url: Field required"),
        (["--tool", "http", "--argument", "url"], "'url' is not NAME=VALUE"),
        (["--tool", "browser", "--argument", "url=https://a/"], "'browser' is not offered by this queue"),
        (["Hello", "--argument", "url=https://a/"], "--argument is for the call of a tool"),
        (["--tool", "http", "--model", "http"], "--model is for a PROMPT or -f FILE"),
        ([], "give a PROMPT, a --tool or -f FILE, one of these"),
    ],
)
def test_a_bad_call_of_a_tool_is_refused_with_the_fix(
    taskfleet: Taskfleet, with_http: Remote, words: list[str], said: str
) -> None:
    done = taskfleet("submit", with_http.name, *words)
    assert (done.code, with_http.pending()) == (2, 0)
    assert said in done.err


@pytest.mark.parametrize("option", ["--batch", "--id", "--model"])
def test_what_is_not_utf_8_is_refused_in_words(taskfleet: Taskfleet, remote: Remote, option: str) -> None:
    done = taskfleet("submit", remote.name, "x", option, os.fsdecode(b"caf\xe9"))
    assert (done.code, remote.pending()) == (2, 0)
    assert "Traceback" not in done.err
    assert f"{option} 'caf\ufffd' is not UTF-8; write names and texts in UTF-8" in done.err


def test_the_namespace_of_an_unqualified_queue_name_is_an_option(taskfleet: Taskfleet, remote: Remote) -> None:
    assert taskfleet("submit", remote.key.name, "x", "-n", remote.key.namespace).code == 0
    assert taskfleet("submit", remote.key.name, "x").code == 4


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_files_of_any_line_end_with_or_without_bom_are_taken(
    taskfleet: Taskfleet, remote: Remote, tmp_path: Path, line_end: bytes, start: bytes
) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(start + line_end.join([b'{"id": "a", "prompt": "1"}', b'{"id": "b", "prompt": "2"}', b""]))
    done = taskfleet("submit", remote.name, "-f", file, "--batch", "b", "-o", "json")
    assert done.json["tasks"] == 2
    remote.work()
    assert [line["id"] for line in taskfleet("result", "--batch", "b", "-q", remote.name, "-o", "json").lines] == [
        "a",
        "b",
    ]


def test_stdin_is_a_file_too(taskfleet: Taskfleet, remote: Remote) -> None:
    done = taskfleet("submit", remote.name, "-f", "-", "-o", "json", stdin=b'{"prompt": "1"}\n{"prompt": "2"}')
    assert done.json["tasks"] == 2
    assert remote.pending() == 2


def test_model_is_the_default_of_lines_that_name_none(taskfleet: Taskfleet, remote: Remote) -> None:
    lines = b'{"id": "a", "prompt": "1"}\n{"id": "b", "prompt": "2", "model": "small"}\n'
    assert taskfleet("submit", remote.name, "-f", "-", "--model", "large", stdin=lines).code == 0
    models = [taskfleet("status", name, "-q", remote.name, "-o", "json").json["model"] for name in "ab"]
    assert models == ["large", "small"]


GOOD = b'{"id": "good", "prompt": "fine"}\n'
BAD_FILES = {
    "not JSON": (GOOD + b"{nonsense}\n" + GOOD, "line 2:", ""),
    "cut off": (GOOD + b'{"prompt": "half', "line 2:", ""),
    "not an object": (GOOD + b"[1, 2]\n", "line 2:", "object"),
    "no prompt": (GOOD + b'{"id": "x"}\n', "line 2:", "prompt"),
    "prompt and messages": (GOOD + b'{"prompt": "x", "messages": [{"role": "user", "content": "x"}]}\n', "line 2:", ""),
    "unknown field": (GOOD + b'{"prompt": "x", "promt": "y"}\n', "line 2:", "promt"),
    "bad priority": (GOOD + b'{"prompt": "x", "priority": "urgent"}\n', "line 2: priority", "urgent"),
    "too large": (GOOD + b'{"prompt": "' + b"x" * 3000 + b'"}\n', "line 2:", "maxTaskBytes"),
    "a line without end": (GOOD + b'{"prompt": "' + b"x" * 100_000, "line 2:", "maxTaskBytes"),
    "duplicate id": (GOOD + b"\n" + GOOD, "line 3:", "good"),
    "unknown model": (GOOD + b'{"prompt": "x", "model": "gpt"}\n', "line 2: model", "small, fast, large"),
    "bad id": (b'{"id": "a b", "prompt": "x"}\n' + GOOD, "line 1: id", ""),
    "not UTF-8": (GOOD + b'{"prompt": "\xff\xfe"}\n', "line 2:", ""),
    "UTF-16": (GOOD.decode().encode("utf-16"), "line 1:", ""),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_line_and_nothing_is_enqueued(
    taskfleet: Taskfleet, remote: Remote, tmp_path: Path, name: str
) -> None:
    content, where, what = BAD_FILES[name]
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    done = taskfleet("submit", remote.name, "-f", file)
    assert done.code == 2, done.err
    assert where in done.err
    assert what in done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert remote.pending() == 0
    done = taskfleet("submit", remote.name, "-f", "-", "-o", "json", stdin=content)
    assert done.code == 2
    assert where in json.loads(done.err)["error"]["message"]
    assert remote.pending() == 0


@pytest.mark.parametrize("content", [b"", b"\n\r\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_tasks_is_refused(taskfleet: Taskfleet, remote: Remote, content: bytes) -> None:
    done = taskfleet("submit", remote.name, "-f", "-", stdin=content)
    assert done.code == 2
    assert "there are no tasks in this file" in done.err
    assert remote.pending() == 0


def test_an_id_that_the_queue_holds_already_refuses_the_whole_file(taskfleet: Taskfleet, remote: Remote) -> None:
    assert taskfleet("submit", remote.name, "x", "--id", "t-7").code == 0
    done = taskfleet("submit", remote.name, "-f", "-", stdin=b'{"prompt": "new"}\n{"id": "t-7", "prompt": "y"}\n')
    assert done.code == 2
    assert "'t-7' is already in this queue" in done.err
    assert remote.pending() == 1


def test_what_does_not_fit_together_is_a_usage_error(taskfleet: Taskfleet, remote: Remote, tmp_path: Path) -> None:
    for arguments, words in (
        ((), "a PROMPT, a --tool or -f FILE"),
        (("x", "-f", "y"), "a PROMPT, a --tool or -f FILE"),
        (("-f", "-", "--priority", "low"), "into the lines of the file"),
        (("x", "--out", "y"), "--out needs --wait"),
        (("x", "--wait", "--out", tmp_path), "is a directory"),
        (("x", "--wait", "--out", tmp_path / "no" / "file"), "its folder does not exist"),
        (("-f", tmp_path / "missing"), "No such file"),
        (("-f", tmp_path), "directory"),
        (("x", "--model", "gpt"), "it offers: small, fast, large"),
        (("-f", "-", "--model", "gpt"), "it offers: small, fast, large"),
    ):
        done = taskfleet("submit", remote.name, *arguments)
        assert done.code == 2, (arguments, done)
        assert words in done.err
        assert remote.pending() == 0


def test_an_unknown_queue_is_exit_code_4(taskfleet: Taskfleet, remote: Remote) -> None:
    done = taskfleet("submit", "no/such", "x", "-o", "json")
    assert done.code == 4
    assert json.loads(done.err) == {"error": {"code": "not_found", "message": "there is no queue no/such"}}


def peak_memory_of(command: list[str]) -> tuple[str, int]:
    """Output and peak resident bytes of a program. A small process starts it: a child's peak begins at its parent's."""
    starter = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    starter += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", starter, *command], capture_output=True, text=True, env=os.environ, check=True
    )
    *printed, peak = done.stdout.splitlines()
    return "\n".join(printed), int(peak)


def test_a_file_of_100_mb_is_submitted_whole_in_bounded_memory(remote: Remote, tmp_path: Path) -> None:
    file = tmp_path / "large.jsonl"
    count, prompt = 60_000, "x" * 1700
    with file.open("w") as out:
        out.writelines(f'{{"id": "t-{number}", "prompt": "{prompt}"}}\n' for number in range(count))
    assert file.stat().st_size > 100_000_000
    command = [PROGRAM, "submit", remote.name, "-f", str(file), "--batch", "large", "-o", "json"]
    printed, peak = peak_memory_of(command)
    assert json.loads(printed)["tasks"] == count
    assert peak < 150_000_000, "bytes at the peak"
    assert remote.pending() == count
    remote.ask(lambda store: store.drop_queue(remote.key))


def test_wait_saves_results_in_input_order_and_tells_of_failures(
    remote: Remote, taskfleet: Taskfleet, tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    lines = b"".join(b'{"id": "t-%d", "prompt": "p%d"}\n' % (n, n) for n in range(6))
    command = [PROGRAM, "submit", remote.name, "-f", "-", "--wait", "--out", str(out)]
    with started(command, **PIPES) as process:
        assert process.stdin is not None
        process.stdin.write(lines)
        process.stdin.close()
        process.stdin = None
        done = 0
        while done < 6:
            done += remote.work(failing="p3", count=2)
        printed, complaints = process.communicate(timeout=20)
    assert process.returncode == 1, complaints
    assert printed.decode() == f"6 tasks: 5 completed, 1 failed; results in {out}\n"
    assert "1 x bad_request: no such thing" in complaints.decode()
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in results] == [f"t-{n}" for n in range(6)]
    assert [line["status"] for line in results] == ["completed"] * 3 + ["failed"] + ["completed"] * 2
    assert out.stat().st_mode & 0o077, "an ordinary file, not one of the owner's only"
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"], "no temporary file is left"


def test_wait_prints_the_answer_to_a_prompt(remote: Remote) -> None:
    command = [PROGRAM, "submit", remote.name, "hello", "--id", "t-1", "--wait"]
    with started(command, **PIPES) as process:
        while not remote.work():
            assert process.poll() is None
        printed, _ = process.communicate(timeout=20)
    assert (process.returncode, printed) == (0, b"did t-1\n")


def test_ctrl_c_while_waiting_leaves_the_tasks_and_says_how_to_look_again(remote: Remote) -> None:
    command = [PROGRAM, "submit", remote.name, "hello", "--batch", "b-9", "--wait"]
    with started(command, **PIPES) as process:
        assert process.stderr is not None
        assert b"submitted 1 task" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"the tasks go on. Look again with: taskfleet status --batch b-9" in complaints
    assert b"Traceback" not in complaints
    assert remote.pending() == 1


def test_ctrl_c_ends_a_submit_that_waits_for_its_lines(remote: Remote) -> None:
    command = [PROGRAM, "submit", remote.name, "-f", "-"]
    with started(command, **PIPES) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        line = b'{"prompt": "%s"}\n' % (b"x" * 1000)
        process.stdin.write(line * 500)  # more than a pipe holds: it has come to reading them
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130, "without the end of its input"
        complaints = process.stderr.read()
    assert b"Traceback" not in complaints
    assert remote.pending() == 0


def test_a_queue_of_a_newer_taskfleet_is_told_in_words(taskfleet: Taskfleet, remote: Remote) -> None:
    newer = dataclasses.replace(queue_policy(SPEC), spec={**SPEC.to_wire(), "notYetThere": {}})
    remote.ask(lambda store: store.put_policy(remote.key, newer))
    done = taskfleet("submit", remote.name, "hello")
    assert done.code == 15
    assert "notYetThere" in done.err and remote.name in done.err
    assert "Traceback" not in done.err


def test_a_delayed_task_waits_and_status_says_until_when(remote: Remote, taskfleet: Taskfleet) -> None:
    options = ("--id", "later", "--delay", "1h", "--deadline", "2099-01-31T18:00:00Z")
    assert taskfleet("submit", remote.name, "Hi", *options).code == 0
    assert remote.work() == 0
    shown = taskfleet("status", "later", "-q", remote.name).out
    assert "deadline   2099-01-31T18:00:00Z" in shown and "not before 20" in shown
    assert taskfleet("status", "later", "-q", remote.name, "-o", "json").json["not_before"] > 1e9


def test_a_delay_that_is_none_is_refused_by_name(remote: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("submit", remote.name, "Hi", "--delay", "soon")
    assert done.code == 2 and done.err.startswith("taskfleet: delay: 'soon' is not a duration")
    done = taskfleet("submit", remote.name, "-f", "-", "--delay", "1s", stdin=b"")
    assert done.code == 2 and "delay and deadline belong into the lines" in done.err


def test_a_task_with_a_key_is_submitted_once(remote: Remote, taskfleet: Taskfleet) -> None:
    first = taskfleet("submit", remote.name, "Hi", "--idempotency-key", "order 17", "-o", "json")
    assert (first.code, first.json["tasks"]) == (0, 1)
    again = taskfleet("submit", remote.name, "Hi", "--idempotency-key", "order 17")
    assert again.code == 0 and "submitted before: task k-" in again.out and "is pending" in again.out
    assert remote.work() == 1
    again = taskfleet("submit", remote.name, "Hi", "--idempotency-key", "order 17", "-o", "json")
    assert (again.json["tasks"], again.json["task"]["status"]) == (0, "completed")


def test_tenant_and_session_of_a_task_are_shown(remote: Remote, taskfleet: Taskfleet) -> None:
    assert taskfleet("submit", remote.name, "Hi", "--id", "t", "--tenant", "gold", "--session", "chat-7").code == 0
    shown = taskfleet("status", "t", "-q", remote.name).out
    assert "gold" in shown and "chat-7" in shown
    done = taskfleet("submit", remote.name, "Hi", "--tenant", "a b")
    assert done.code == 2 and done.err.startswith('taskfleet: tenant: "a b" is not a name')


def test_stats_tell_how_much_each_tenant_has_waiting(remote: Remote, taskfleet: Taskfleet) -> None:
    lines = b"\n".join(b'{"prompt": "Hi", "tenant": "%s"}' % tenant for tenant in (b"gold", b"gold", b"default"))
    assert taskfleet("submit", remote.name, "-f", "-", stdin=lines).code == 0
    assert taskfleet("stats", remote.name, "--tenants", "-o", "json").json["tenants"] == {"gold": 2, "default": 1}
    assert "gold" in taskfleet("stats", remote.name, "--tenants").out
    assert "gold" not in taskfleet("stats", remote.name).out
