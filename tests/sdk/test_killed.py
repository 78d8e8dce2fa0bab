"""A script is killed in the middle of a dataset; the same call goes on, and each row has one result."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.modelstub import ModelStub, running
from tests.support.waiting import wait_until

ROWS = 300
SCRIPT = """
import asyncio, sys
from taskfleet import ParallelTaskQueue
url, folder, data = sys.argv[1:]
async def main():
    rules = {"leaseDuration": "3s"}
    async with ParallelTaskQueue([url], max_workers=10, data=data or None, policy=rules) as queue:
        await queue.process_dataset(
            ({"text": f"row {number}"} for number in range(300)), "stub", 20,
            prompt="{text}", checkpoint=f"{folder}/run", output=f"{folder}/out.jsonl")
    print("done")
asyncio.run(main())
"""


@pytest.fixture
def slow_model() -> Iterator[ModelStub]:
    with running(latency=0.02) as stub:
        yield stub


@pytest.mark.parametrize(
    ("kept", "kills"), [(False, 1), (True, 2)], ids=["the store goes with it", "the store is kept"]
)
def test_each_row_has_one_result_however_often_the_script_is_killed(
    slow_model: ModelStub, tmp_path: Path, kept: bool, kills: int
) -> None:
    command = [sys.executable, "-c", SCRIPT, slow_model.url, str(tmp_path), str(tmp_path / "data") if kept else ""]

    def done() -> int:
        return (tmp_path / "run").read_bytes().count(b'"row"') if (tmp_path / "run").exists() else 0

    for _ in range(kills):
        before = done()
        with subprocess.Popen(command) as process:
            wait_until(lambda before=before: done() >= before + 60, "60 rows more to be done", timeout=60)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
    already = done()
    assert already < ROWS
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout == "done\n"
    results = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [line["output"] for line in results] == [f"echo: row {number}" for number in range(ROWS)]
    rows = [orjson.loads(line)["row"] for line in (tmp_path / "run").read_bytes().splitlines() if b'"row"' in line]
    assert sorted(rows) == list(range(ROWS)), "none is lost, none is there twice"
    assert slow_model.calls.total() <= ROWS + kills * 50, "only what was on its way is called again"
