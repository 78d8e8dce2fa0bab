"""The tools of `make chaos` do to a process and to a store what they say."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos.crew import SHIFTED_CLOCK
from chaos.lateness import waiting_seconds
from chaos.options import parse
from chaos.storeserver import LOST_SECONDS, StoreServer, store_server
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.waiting import eventually
from tests.support.workerprocess import prompts, quick_policy

QUEUE = QueueKey("test", "chaos")
CLOCKS = """
import time
from datetime import UTC, datetime
print(time.time(), time.time_ns() / 1e9, datetime.now(UTC).timestamp(), time.monotonic())
print(isinstance(datetime.now(UTC), datetime))
"""


@pytest.mark.parametrize("shift", [3600, -3600, 0])
def test_a_shifted_clock_is_wrong_in_every_way_to_ask_and_steady_clocks_are_right(shift: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SHIFTED_CLOCK), "CHAOS_CLOCK_SHIFT": str(shift)}
    told = {
        wrong: subprocess.run(
            [sys.executable, "-c", CLOCKS], env=env, capture_output=True, text=True, check=True
        ).stdout.split()
        for wrong, env in ((False, dict(os.environ)), (True, environment))
    }
    right, shifted = ([float(number) for number in told[wrong][:4]] for wrong in (False, True))
    for before, after in zip(right[:3], shifted[:3], strict=True):
        assert after - before == pytest.approx(shift, abs=10)
    assert shifted[3] - right[3] == pytest.approx(0, abs=10)
    assert told[True][4] == "True"


async def filled(server: StoreServer) -> Store:
    store = await Store.connect(server.url)
    await store.put_policy(QUEUE, quick_policy())
    await store.submit(QUEUE, prompts("old"))
    return store


async def test_a_kill_of_a_store_that_syncs_always_loses_nothing(tmp_path: Path) -> None:
    with store_server(tmp_path, "always") as server:
        store = await filled(server)
        await server.kill()
        await server.start()
        assert [view is not None for view in await store.get(QUEUE, ["old"])] == [True]
        await store.close()


async def test_a_power_loss_takes_the_last_second_of_a_store_that_syncs_every_second(tmp_path: Path) -> None:
    with store_server(tmp_path, "everysec") as server:
        store = await filled(server)
        watching = asyncio.create_task(server.watch())
        await eventually(lambda: server.watched_seconds > 1.2 * LOST_SECONDS, "a second to pass")
        await store.submit(QUEUE, prompts("young"))
        forgot_since = await server.kill()
        await server.start()
        assert forgot_since < asyncio.get_running_loop().time()
        assert [view is not None for view in await store.get(QUEUE, ["old", "young"])] == [True, False]
        watching.cancel()
        await store.close()


def test_time_in_which_a_process_is_kept_from_running_is_counted() -> None:
    """This one, on one core with others that want it too."""
    (core, *_) = cores = os.sched_getaffinity(0)
    spinning = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            process = subprocess.Popen([sys.executable, "-c", spinning, str(core)])
            stack.callback(process.wait)
            stack.callback(process.kill)
        os.sched_setaffinity(0, {core})
        stack.callback(os.sched_setaffinity, 0, cores)
        before, end = waiting_seconds(os.getpid()), time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        assert waiting_seconds(os.getpid()) - before > 0.25


def test_the_commands_of_the_page_are_understood() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "chaos.md").read_text()
    commands = re.findall(r'^make chaos(?: +ARGS="(.*?)")?', page, re.MULTILINE)
    assert len(commands) >= 4
    for arguments in commands:
        parse(arguments.split())


@pytest.mark.parametrize("arguments", [["--tasks", "0"], ["--workers", "1"], ["--lease", "soon"], ["--fsync", "no"]])
def test_an_option_that_makes_no_sense_is_refused_in_words(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(arguments)
    assert refused.value.code == 2
    assert arguments[0] in capsys.readouterr().err
