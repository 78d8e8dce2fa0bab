"""One worker of two is killed with tasks in its hands, and replaced at once: what becomes of those tasks."""

import asyncio
import contextlib
import functools
import itertools
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.history import History
from chaos.model import ModelServer
from chaos.peers.adapters import PEERS
from chaos.peers.contestants import Contestant, Installed, Taskfleet, install
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually

TASKS = 100
CALL_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
DONE_BEFORE = 5  # by then each worker has taken what it takes at once
START_SECONDS = 120.0
WARM_UP, WARM_UP_TASKS, WARM_UP_SECONDS = "warm-up", 20, 5.0
FIRST, SECOND, REPLACEMENT = "first", "second", "replacement"

Open = Callable[[int, ModelServer], Contestant]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``in_hand``: tasks whose call ran in the killed worker. ``rerun_seconds``: from the kill to the next call of each
    that had one. ``not_done``: tasks without an answer when the patience was over. ``doubled``: answered twice."""

    in_hand: int
    rerun_seconds: list[float]
    not_done: int
    doubled: int


async def compare(tell: Callable[[str], None]) -> dict[str, Outcome]:
    """Taskfleet and every peer: killed one after another, then waited for all together."""
    with tempfile.TemporaryDirectory(prefix="taskfleet-peers-") as folder:
        opens: dict[str, Open] = {"taskfleet": Taskfleet}
        for peer in PEERS:
            tell(f"installing {' '.join(peer.packages)}")
            environment = await asyncio.to_thread(install, peer, Path(folder))
            opens[peer.name] = functools.partial(Installed, peer, environment)
        turn = asyncio.Lock()

        async def one(name: str) -> Outcome:
            async with contextlib.AsyncExitStack() as stack:
                async with turn:
                    tell(f"{name}: {TASKS} tasks, two workers, and SIGKILL for one of them")
                    victim = await kill_one(opens[name], stack)
                return await wait(*victim)

        return dict(zip(opens, await asyncio.gather(*map(one, opens)), strict=True))


async def kill_one(open_one: Open, stack: contextlib.AsyncExitStack) -> tuple[History, float, list[str]]:
    """What was called until then, when the kill was, and which tasks the killed worker had in hand. The others go on
    until ``stack`` ends. Raises AssertionError when the workers never begin."""
    history = History()
    model = ModelServer(history, random.Random(1), slow=0.0, latency=CALL_SECONDS, faults={})
    await model.start()
    stack.push_async_callback(model.stop)
    data = stack.enter_context(tempfile.TemporaryDirectory(prefix="taskfleet-peer-"))
    contestant = open_one(stack.enter_context(running_valkey(Path(data))).port, model)
    kill_first = stack.enter_context(contestant.worker(FIRST))
    stack.enter_context(contestant.worker(SECOND))
    await _warm_up(contestant, history)
    enqueuing = asyncio.create_task(contestant.enqueue([f"task-{number}" for number in range(TASKS)]))
    await eventually(
        lambda: _done(history) >= DONE_BEFORE and _in_hand(history),
        "the first worker to have tasks in hand",
        timeout=START_SECONDS,
    )
    killed, in_hand = time.monotonic(), _in_hand(history)
    kill_first()
    stack.enter_context(contestant.worker(REPLACEMENT))
    await enqueuing
    return history, killed, in_hand


async def wait(history: History, killed: float, in_hand: list[str], tasks: int = TASKS) -> Outcome:
    """What came of it, as soon as all is done, or when the patience is over."""
    with contextlib.suppress(AssertionError):
        left = killed + PATIENCE_SECONDS - time.monotonic()
        await eventually(lambda: _done(history) == tasks, "all tasks", timeout=left)
    return Outcome(
        in_hand=len(in_hand),
        rerun_seconds=sorted(
            next(call.began - killed for call in history.calls[name] if call.began > killed)
            for name in in_hand
            if history.calls[name][-1].began > killed
        ),
        not_done=tasks - _done(history),
        doubled=sum(sum(call.answered is not None for call in calls) > 1 for calls in history.calls.values()),
    )


async def _warm_up(contestant: Contestant, history: History) -> None:
    """Until both workers have done something: they take their time to start, and one alone might do it all."""
    give_up_at = time.monotonic() + START_SECONDS
    for number in itertools.count():
        await contestant.enqueue([f"{WARM_UP}-{number}-{each}" for each in range(WARM_UP_TASKS)])
        with contextlib.suppress(AssertionError):
            await eventually(lambda: _callers(history) >= {FIRST, SECOND}, "both workers", timeout=WARM_UP_SECONDS)
            return
        if time.monotonic() > give_up_at:
            raise AssertionError(f"waited {START_SECONDS:g} s for both workers; only {_callers(history)} called")


def _callers(history: History) -> set[str]:
    return {call.worker for calls in history.calls.values() for call in calls}


def _in_hand(history: History) -> list[str]:
    """Tasks whose call by the first worker runs now."""
    return [
        name
        for name, calls in history.calls.items()
        if not name.startswith(WARM_UP) and any(call.worker == FIRST and call.answered is None for call in calls)
    ]


def _done(history: History) -> int:
    return sum(
        not name.startswith(WARM_UP) and any(call.answered is not None for call in calls)
        for name, calls in history.calls.items()
    )


def table(outcomes: dict[str, Outcome]) -> str:
    """One line for each."""
    patience = f"not in {PATIENCE_SECONDS:g} s"
    lines = [f"{'':20} {'in hand':>8} {'run again':>10} {'after s':>15} {patience:>14} {'run twice':>10}"]
    for name, found in outcomes.items():
        times = found.rerun_seconds
        after = f"{times[0]:.1f} to {times[-1]:.1f}" if times else "-"
        lines.append(f"{name:20} {found.in_hand:8} {len(times):10} {after:>15} {found.not_done:14} {found.doubled:10}")
    return "\n".join(lines)
