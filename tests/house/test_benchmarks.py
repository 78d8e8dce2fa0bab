"""`make bench` says what it measured, to people and to programs."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.enginerun import EngineRun, Failed
from benchmarks.goals import best_peer, goal_of, times_better
from benchmarks.machine import machine
from benchmarks.peers import ENGINES, OURS, Engine, Unavailable, prepare
from benchmarks.queue_engines import STEPS, Comparison, Step
from benchmarks.rows import Findings, Row, medians
from tests.support.valkeyserver import running_valkey

ROOT = Path(__file__).resolve().parents[2]


def benchmark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (
            "queue_engines",
            {"queue.enqueue_one_by_one", "queue.bytes_per_task", "queue.drain_by_1", "queue.pick_up_p99"},
        ),
        ("scaling", {"scaling.rate_of_2_workers", "scaling.submit_by_50_at_once", "scaling.calls_of_a_sick_endpoint"}),
        ("growth", {"growth.claim_with_1000_pending", "growth.stats_with_10_tenants", "growth.drain_by_2_processes"}),
        ("worker_throughput", {"worker.calls", "worker.cpu_of_a_call"}),
        ("parallel", {"parallel.steps", "parallel.memory"}),
        ("dataset", {"dataset.rows", "dataset.memory_of_100000_rows", "dataset.memory_of_1000000_rows"}),
        ("http_clients", {"http.cpu_of_a_call"}),
        ("pure", {"pure.plan_10000_endpoints", "pure.task_lines"}),
        ("gateway", {"gateway.added_p50_at_0_ms", "gateway.rate_at_0_ms", "gateway.cpu_of_1000_requests"}),
        ("gateway_streams", {"streams.open_at_once", "streams.broken", "streams.first_token_added_p99"}),
        ("gateway_batch", {"batch.of_50000_lines.completed", "batch.p99_of_online_calls_beside_it"}),
    ],
)
def test_a_quick_run_measures_each_group_and_writes_its_rows(module: str, expected: set[str], tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = benchmark(f"benchmarks.{module}", "--quick", "--rows", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    found = Findings.read(file)
    assert expected <= {row.id for row in found.rows}
    assert all(row.ours >= 0 for row in found.rows)
    assert [str(row) for row in found.rows] == done.stdout.splitlines()[: len(found.rows)]


def test_only_the_rows_that_were_asked_for_are_measured(tmp_path: Path) -> None:
    """Memory of a task is that of the task, and not of a client's buffers."""
    file = tmp_path / "rows.json"
    benchmark("benchmarks.queue_engines", "--quick", "--only", "queue.enqueue_in", "--rows", str(file))
    bulk, bytes_of_a_task = Findings.read(file).rows
    assert (bulk.id, bytes_of_a_task.id) == ("queue.enqueue_in_bulk", "queue.bytes_per_task")
    assert 1024 < bytes_of_a_task.ours < 1024 + 250


def test_a_name_that_begins_no_rows_is_told_of_those_there_are() -> None:
    done = benchmark("benchmarks", "nonsense.at_all")
    assert done.returncode == 2
    assert (
        "no rows begin with nonsense; there are: queue, scaling, growth, partitions, worker, dataset, parallel, http, "
        "pure, gateway, streams, batch, soak" in done.stderr
    )


def test_a_peer_that_cannot_be_installed_is_not_measured_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr("benchmarks.peers.ENVIRONMENTS", Path(folder))
        peer = Engine("absent", "on_rq.py", 1, (f"{folder}/not-there.whl",))
        with pytest.raises(Unavailable, match=r"it could not be installed: .*not-there\.whl"):
            prepare(peer)


def test_a_peer_that_fails_has_no_figure_and_ends_nothing(tmp_path: Path) -> None:
    def measure(run: EngineRun, _smaller: int) -> dict[str, float]:
        if run.engine.name != OURS:
            raise Failed("it took too long")
        return {"a.row": 3.0}

    with running_valkey(tmp_path) as server:
        runs = {engine.name: EngineRun(engine, [], server.port, 0, tmp_path) for engine in ENGINES[:2]}
        comparison = Comparison(runs, [Step(measure, (("a.row", "s", "lower"),))], 1)
        comparison.round()
    found = comparison.findings()
    assert [(row.ours, row.peers[ENGINES[1].name]) for row in found.rows] == [(3.0, None)]
    assert found.notes == [f"a.row: {ENGINES[1].name}: it took too long"]


def test_a_row_tells_the_ratio_to_each_peer_and_which_peer_was_not_measured() -> None:
    row = str(Row("a", "ms", 3.0, "lower", {"one": 2.0, "other": None}))
    assert "one: 2.000, ours is 1.50 x" in row
    assert "not measured: other" in row


def test_the_median_of_each_figure_is_its_own() -> None:
    assert medians([{"a": 1, "b": 9}, {"a": 5, "b": 1}, {"a": 2, "b": 2}]) == {"a": 2, "b": 2}


def test_the_floor_is_no_peer_to_beat_and_lower_may_be_better() -> None:
    row = Row("queue.pick_up_p50", "ms", 2.0, "lower", {"floor": 1.0, "bullmq": 3.0, "arq": 4.0, "rq": None})
    assert best_peer(row) == ("bullmq", 3.0)
    assert best_peer(row, python=True) == ("arq", 4.0)
    assert times_better(row, 3.0) == 1.5


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row("queue.drain_by_1", "tasks/s", 20.0, "higher", {"bullmq": 10.0, "taskiq list": 2.0}), True),
        (Row("queue.drain_by_1", "tasks/s", 20.0, "higher", {"bullmq": 10.0, "taskiq list": 3.0}), False),
        (Row("queue.rerun_after_kill", "s", 17.5, "lower", {"bullmq": 60.0}), False),
        (Row("growth.claim_with_1000000_pending", "ms", 1.4, "lower", {"with 1000_pending": 1.0}), True),
        (Row("growth.claim_with_1000000_pending", "ms", 1.6, "lower", {"with 1000_pending": 1.0}), False),
        (Row("gateway.added_p50_at_0_ms", "ms", 3.0, "lower", {"litellm": 10.0, "pass-through": 0.4}), True),
        (Row("gateway.added_p50_at_0_ms", "ms", 3.5, "lower", {"litellm": 10.0, "pass-through": 0.4}), False),
        (Row("gateway.added_p50_at_20_ms", "ms", 4.1, "lower", {"litellm": 20.0, "pass-through": 0.4}), False),
        (Row("gateway.rate_at_0_ms", "req/s", 800.0, "higher", {"litellm": None, "pass-through": 3000.0}), True),
        (Row("worker.calls", "calls/s", 94.0, "higher", {"bare aiohttp loop": 100.0}), False),
    ],
)
def test_a_row_is_held_against_its_goal(row: Row, reached: bool) -> None:
    goal = goal_of(row)
    assert goal is not None
    assert goal.is_reached(row) is reached


def test_a_run_is_written_between_the_markers_of_the_page_with_its_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "PLOT", tmp_path / "plot.png")
    page.PAGE.write_text(f"Before.\n{page.BEGIN}\nof an older run\n{page.END}\nAfter.\n")
    rows = [
        Row("queue.drain_by_1", "tasks/s", 20_000.0, "higher", {"bullmq": 9000.0, "rq": None, "floor": 60_000.0}),
        Row("scaling.rate_of_2_workers", "x one", 1.95, "higher"),
    ]
    page.write(Findings(rows, ["rq: it could not be installed"], {"bullmq": "bullmq 6.7.0"}), "A machine", 5)
    text = page.PAGE.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert "older run" not in text
    assert "| **taskfleet** | 20,000 |" in text
    assert "bullmq 9,000 | 2.22 |" in text
    assert "| `scaling.rate_of_2_workers` | 1.95 | x one |  |  | at least 1.9 x one worker | yes |" in text
    assert "- rq: it could not be installed" in text
    assert "![Every engine in every row](plot.png)" in text
    assert page.PLOT.read_bytes().startswith(b"\x89PNG")


def test_the_committed_page_says_what_each_row_of_the_engines_is_and_has_a_place_for_figures() -> None:
    text = page.PAGE.read_text()
    for step in STEPS:
        for row in step.ids:
            assert f"`{row}`" in text
    assert text.index(page.BEGIN) < text.index(page.END)


@pytest.mark.parametrize("words", ["cores", "Python 3.", "valkey ", "aiohttp "])
def test_the_machine_and_the_versions_are_told(words: str) -> None:
    assert words in machine()
