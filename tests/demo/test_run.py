"""The demo itself, with the real model: what it prints is what its files say, and it leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from demo.figures import figures
from demo.model_server import PORT_TAKEN, layout, reserve
from tests.support.programs import started
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 240.0
TASKS, SAMPLE = 6, 2


def demo(*arguments: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return started(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finished(*arguments: str) -> tuple[int, str]:
    with demo(*arguments) as process:
        said, _ = process.communicate(timeout=RUN_SECONDS)
    return process.returncode, said.decode()


def test_a_short_run_keeps_its_promises(tmp_path: Path) -> None:
    """One run for all of them: it takes half a minute."""
    out = tmp_path / "out"
    code, said = finished("--tasks", str(TASKS), "--sample", str(SAMPLE), "--out", str(out))
    assert code == 0, said
    every_task_has_one_result_in_input_order(out)
    the_table_and_the_summary_are_what_the_results_say(said, out)
    workers_come_from_zero_and_go_back_to_zero(said, out)


def every_task_has_one_result_in_input_order(out: Path) -> None:
    asked = [json.loads(line)["id"] for line in (ROOT / "demo/reviews.jsonl").read_text().splitlines()[:TASKS]]
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["id"] for line in results] == asked
    assert {line["status"] for line in results} == {"completed"}


def the_table_and_the_summary_are_what_the_results_say(said: str, out: Path) -> None:
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    summary = json.loads((out / "summary.json").read_text())
    wall = max(line["queue_seconds"] + line["run_seconds"] for line in results)
    right = sum(line["output"].strip().rstrip(".").lower() == line["metadata"]["label"] for line in results)
    assert re.search(rf"^tasks +{TASKS} +{TASKS} completed, 0 failed", said, re.MULTILINE)
    assert re.search(rf"^wall time +{wall:.1f} s ", said, re.MULTILINE)
    assert re.search(rf"^throughput +{TASKS / wall:.1f} tasks/s", said, re.MULTILINE)
    assert re.search(rf"^accuracy +{right / TASKS:.1%} +{right} of {TASKS} ", said, re.MULTILINE)
    tokens_in = sum(line["usage"]["input_tokens"] for line in results)
    tokens_out = sum(line["usage"]["output_tokens"] for line in results)
    assert re.search(rf"^tokens +{tokens_in:,} in, {tokens_out:,} out", said, re.MULTILINE)
    assert re.search(rf"^retries +{sum(line['attempts'] - 1 for line in results)}\b", said, re.MULTILINE)
    alone = summary["one_after_another"]
    assert re.search(
        rf"^one after another +{alone['calls'] / alone['seconds']:.1f} tasks/s +{SAMPLE} calls; ", said, re.MULTILINE
    )
    assert summary.items() >= figures(results).to_json().items()


def workers_come_from_zero_and_go_back_to_zero(said: str, out: Path) -> None:
    moments = [json.loads(line) for line in (out / "timeline.jsonl").read_text().splitlines()]
    most = max(moment["workers"] for moment in moments)
    assert most > 0
    assert moments[-1]["workers"] == 0
    assert moments[-1]["completed"] == TASKS
    assert re.search(rf"^workers +0 → .*\b{most} → .*\b0 ", said, re.MULTILINE)
    assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_however_it_ends_its_processes_end_too(tmp_path: Path, number: signal.Signals) -> None:
    with demo("--sample", "0", "--out", str(tmp_path / "out")) as process:
        children = wait_until(lambda: with_workers(process.pid), "a run with workers", timeout=RUN_SECONDS)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == (130 if number is signal.SIGINT else -signal.SIGKILL), said
        wait_until(lambda: not any(map(is_there, children)), "the end of all its processes", timeout=60)


def with_workers(pid: int) -> list[int]:
    """All processes below ``pid`` once a worker is among them; empty before."""
    found = list(below(pid))
    commands = [command_of(child) for child in found]
    return found if any("taskfleet" in command and "worker" in command for command in commands) else []


def below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from below(child)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_more_tasks_than_there_are_is_a_sentence(tmp_path: Path) -> None:
    code, said = finished("--tasks", "5000", "--out", str(tmp_path))
    assert code == 1
    assert said == f"demo: --tasks 5000: there are 350 in {ROOT / 'demo/reviews.jsonl'}\n"


def test_a_bad_number_is_a_sentence(tmp_path: Path) -> None:
    code, said = finished("--tasks", "few", "--out", str(tmp_path))
    assert code == 2
    assert "'few' is not a whole number from 1 on" in said


def test_help_names_every_option() -> None:
    code, said = finished("--help")
    assert code == 0
    for option in ("--tasks", "--file", "--sample", "--out"):
        assert option in said


def test_two_model_servers_do_not_share_a_port_unnoticed() -> None:
    with reserve(0) as reserved:
        port = str(reserved.getsockname()[1])
        command = [sys.executable, "-m", "demo.model_server", "--port", port]
        second = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=60, check=False)
    assert second.returncode == PORT_TAKEN
    assert second.stdout == f"port {port} is taken; choose another with --port\n"


def test_the_model_server_imports_nothing_that_its_image_does_not_copy(tmp_path: Path) -> None:
    copied = re.search(
        r"^COPY (demo/.+) /serve/demo/$", (ROOT / "tests/e2e/smollm2.Dockerfile").read_text(), re.MULTILINE
    )
    assert copied
    (tmp_path / "demo").mkdir()
    for file in copied[1].split():
        shutil.copy(ROOT / file, tmp_path / "demo")
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", "import demo.model_server"], cwd=tmp_path, env=alone, timeout=60, check=True)


def test_the_model_server_uses_every_core_once() -> None:
    assert (layout(1, "linux").replicas, layout(1, "linux").threads) == (1, 1)
    assert (layout(2, "linux").replicas, layout(2, "linux").threads) == (2, 1)
    assert (layout(8, "linux").replicas, layout(8, "linux").threads) == (2, 4)
    assert layout(8, "darwin").replicas == 1
