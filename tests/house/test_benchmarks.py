"""`make bench` says what it measured, to people and to programs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rows import Row, machine, medians

ROOT = Path(__file__).resolve().parents[2]


def benchmark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_benchmark_prints_its_rows_and_writes_them_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = benchmark("benchmarks.http_clients", "--rounds", "1", "--calls", "32", "--rows", str(file))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text())["rows"]
    assert set(row) == {"id", "unit", "ours", "peers", "better"}
    assert done.stdout == f"{Row(**row)}\n"


def test_a_name_that_is_no_benchmark_is_told_of_those_there_are() -> None:
    done = benchmark("benchmarks", "nonsense")
    assert done.returncode == 2
    assert "no benchmark is called nonsense; there are: store_throughput, " in done.stderr


def test_a_row_tells_the_ratio_to_each_peer_and_which_peer_is_not_installed() -> None:
    row = str(Row("a", "ms", 3.0, "lower", {"one": 2.0, "other": None}))
    assert "one: 2.000, ours is 1.50 x" in row
    assert "other: not installed" in row


def test_the_median_of_each_figure_is_its_own() -> None:
    assert medians([{"a": 1, "b": 9}, {"a": 5, "b": 1}, {"a": 2, "b": 2}]) == {"a": 2, "b": 2}


@pytest.mark.parametrize("words", ["cores", "Python 3.", "valkey ", "aiohttp "])
def test_the_machine_and_the_versions_are_told(words: str) -> None:
    assert words in machine()
