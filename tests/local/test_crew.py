"""Worker processes of one endpoint: broken ones come back slowly, and say what is wrong."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from taskfleet.local import crew as crew_module
from taskfleet.local.crew import Crew
from tests.support.waiting import eventually

BASE = {"PATH": os.environ["PATH"]}
BROKEN = (sys.executable, "-c", "import sys; sys.exit('no such model')")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
)
PATIENT = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")


class Crewed:
    """A crew, what it told, and how often it asked for another look."""

    def __init__(self, tmp_path: Path) -> None:
        self.told: list[str] = []
        self.looks = 0
        self.log = tmp_path / "log"
        self.crew = Crew("pool-e", log=self.log, tell=self.told.append, changed=self.look)
        self.crew.prepare(dict(BASE), 0.0)

    def look(self) -> None:
        self.looks += 1

    def started(self) -> int:
        return self.log.read_text().count("up") if self.log.exists() else 0


@pytest.fixture
def crewed(tmp_path: Path) -> Crewed:
    return Crewed(tmp_path)


async def test_a_worker_that_keeps_dying_waits_longer_each_time_and_says_why(
    crewed: Crewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "COMMAND", BROKEN)
    monkeypatch.setattr(crew_module, "FIRST_DELAY_SECONDS", 0.05)
    delays = []
    loop = asyncio.get_running_loop()
    for death in range(1, 4):
        await crewed.crew.scale(1, busy={})
        await eventually(lambda n=death: len(crewed.told) == n, f"death {death}")  # type: ignore[misc]  # bound loop variable
        died = loop.time()
        await crewed.crew.scale(1, busy={})
        assert crewed.crew.processes == 0, "not before its delay"
        await eventually(lambda n=death: crewed.looks == n, f"another look after death {death}")  # type: ignore[misc]  # bound loop variable
        delays.append(loop.time() - died)
    assert delays[1] > 1.3 * delays[0]
    assert delays[2] > 1.3 * delays[1]
    assert "exit code 1" in crewed.crew.trouble
    assert "no such model" in crewed.crew.trouble
    await crewed.crew.scale(0, busy={})
    assert crewed.crew.trouble == ""


async def test_a_worker_that_ignores_sigterm_is_killed_after_its_grace(
    crewed: Crewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "COMMAND", STUBBORN)
    monkeypatch.setattr(crew_module, "HAND_BACK_SECONDS", 0.1)
    await crewed.crew.scale(1, busy={})
    await eventually(lambda: crewed.started() == 1, "the worker to be up")
    crewed.crew.dismiss()
    assert crewed.crew.processes == 1
    await asyncio.wait_for(crewed.crew.gone(), 5)
    assert crewed.told == [], "it was told to end: no news"


async def test_the_least_busy_workers_go_first(crewed: Crewed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "COMMAND", PATIENT)
    await crewed.crew.scale(3, busy={})
    await eventually(lambda: crewed.started() == 3, "three workers to be up")
    first, second, third = crewed.crew.workers
    await crewed.crew.scale(1, busy={first: 1, second: 4, third: 0})
    assert list(crewed.crew.workers) == [second]
    crewed.crew.kill()
    await crewed.crew.gone()


async def test_a_worker_with_another_environment_replaces_the_old_one(
    crewed: Crewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "COMMAND", PATIENT)
    await crewed.crew.scale(1, busy={})
    (old,) = crewed.crew.workers
    crewed.crew.prepare(dict(BASE), 0.0)
    assert list(crewed.crew.workers) == [old], "the same environment changes nothing"
    crewed.crew.prepare({**BASE, "NEW": "1"}, 0.0)
    await crewed.crew.scale(1, busy={})
    assert old not in crewed.crew.workers
    crewed.crew.kill()
    await crewed.crew.gone()


async def test_only_own_processes_are_killed(crewed: Crewed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "COMMAND", PATIENT)
    stranger = await asyncio.create_subprocess_exec(*PATIENT, stdout=asyncio.subprocess.DEVNULL)
    await crewed.crew.scale(2, busy={})
    crewed.crew.kill()
    await crewed.crew.gone()
    assert stranger.returncode is None
    stranger.send_signal(signal.SIGKILL)
    await stranger.wait()
