"""The coordinator of parallel queues in a world that answers in any order, loses its coordinator, and stops it."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from taskfleet.core.parallel.machine import Machine
from taskfleet.core.parallel.moves import (
    At,
    CancelStep,
    Command,
    EndItem,
    EndRun,
    Event,
    ItemCame,
    Judge,
    Outcome,
    RoundJudged,
    Run,
    SourceEnded,
    StepEnded,
    StepTimedOut,
    Stop,
    Take,
)
from taskfleet.core.parallel.rules import MAX_ROUNDS, ItemStatus, OnError, OnUntil, Rules, RunState, StepRule

STOP = Stop(RunState.CANCELLED, "enough", OnUntil.CANCEL)


@dataclass
class World:
    """Does what the machine says, in an order of its own, and keeps what it said."""

    rules: Rules
    number: int
    choose: random.Random
    machine: Machine = field(init=False)
    running: dict[int, At] = field(default_factory=dict)
    judging: dict[int, At] = field(default_factory=dict)
    submitted: list[tuple[int, At]] = field(default_factory=list)
    cancelled: list[tuple[int, At]] = field(default_factory=list)
    ended: dict[int, ItemStatus] = field(default_factory=dict)
    came: int = 0
    room: int = 0
    end: EndRun | None = None
    most_open: int = 0

    def __post_init__(self) -> None:
        self.machine = Machine(self.rules)
        self.obey(self.machine.begin())

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            assert self.end is None, "nothing follows the end"
            match command:
                case Take(count):
                    self.room = count
                case Run(index, at):
                    assert index not in self.running
                    self.running[index] = at
                    self.submitted.append((index, at))
                case Judge(index, at):
                    assert index not in self.judging
                    self.judging[index] = at
                case CancelStep(index, at):
                    assert {**self.running, **self.judging}[index] == at
                    self.cancelled.append((index, at))
                case EndItem(index, status):
                    assert index not in self.ended
                    assert index not in self.running
                    self.ended[index] = status
                case EndRun():
                    self.end = command
        self.most_open = max(self.most_open, self.machine.open)
        room = self.rules.max_parallel - self.machine.open
        assert room >= 0
        if self.end is None and self.machine.stop is None and not self.machine.source_ended:
            assert self.room in (room, 0) if room == 0 else self.room == room, "all the room is offered"

    def handle(self, event: Event) -> None:
        self.obey(self.machine.handle(event))

    def step(self) -> None:
        """One thing that may happen now."""
        can: list[str] = []
        can += ["come"] if self.room and self.machine.stop is None and not self.machine.source_ended else []
        can += ["finish", "finish", "late"] if self.running else []
        can += ["judge"] if self.judging else []
        match self.choose.choice(can):
            case "come" if self.came < self.number:
                self.came, self.room = self.came + 1, 0
                self.handle(ItemCame())
            case "come":
                self.handle(SourceEnded())
            case "finish":
                index = self.choose.choice(list(self.running))
                at = self.running.pop(index)
                outcome = Outcome.CANCELLED if (index, at) in self.cancelled else self.choose.choice(list(Outcome)[:3])
                self.handle(StepEnded(index, at, outcome, "why"))
            case "late":
                index = self.choose.choice(list(self.running))
                self.handle(StepTimedOut(index, self.running[index]))
            case "judge":
                index = self.choose.choice(sorted(self.judging))
                cancelled = (index, self.judging.pop(index)) in self.cancelled
                self.handle(RoundJudged(index, not cancelled and self.choose.random() < 0.3))

    def restart(self) -> None:
        """The coordinator dies; another one begins where it was. What runs goes on, and is found running."""
        where = {index: self.machine.at(index) or At() for index in range(self.came) if index not in self.ended}
        old = self.machine
        self.machine = Machine(self.rules)
        running, judging = self.running, self.judging
        self.running, self.judging = {}, {}
        before = len(self.submitted)
        self.obey(self.machine.begin(where, self.came, source_ended=old.source_ended, stop=old.stop))
        for index, at in self.submitted[before:]:
            assert running.get(index, at) == at, "what runs is what is given again"
        del self.submitted[before:]
        if self.machine.stop is not None and self.machine.stop.running is OnUntil.CANCEL:
            self.running, self.judging = running, judging
        assert self.judging == judging, "a judgement is given again, and no step in its place"

    def to_the_end(self) -> None:
        for _ in range(20_000):
            if self.end is not None:
                return
            self.step()
        raise AssertionError("it does not end")


steps = st.builds(StepRule, on_error=st.sampled_from([OnError.SKIP, OnError.CONTINUE]), attempts=st.integers(1, 3))
rules = st.builds(
    Rules,
    steps=st.lists(steps, min_size=1, max_size=3).map(tuple),
    max_parallel=st.integers(1, 5),
    has_while=st.booleans(),
)
worlds = st.builds(World, rules, st.integers(0, 12), st.randoms(use_true_random=False))


@settings(max_examples=50)
@given(worlds)
def test_every_item_ends_once_and_no_step_runs_twice(world: World) -> None:
    world.to_the_end()
    assert set(world.ended) == set(range(world.number))
    assert len(set(world.submitted)) == len(world.submitted)
    assert world.end == EndRun(RunState.COMPLETED)


@settings(max_examples=50)
@given(worlds, st.lists(st.integers(0, 30), max_size=4))
def test_a_coordinator_that_dies_loses_nothing_and_repeats_nothing(world: World, moments: list[int]) -> None:
    for steps_before in moments:
        for _ in range(steps_before):
            if world.end is None:
                world.step()
        if world.end is None:
            world.restart()
    world.to_the_end()
    assert set(world.ended) == set(range(world.number))
    assert len(set(world.submitted)) == len(world.submitted)


@settings(max_examples=50)
@given(worlds, st.integers(0, 40), st.sampled_from(OnUntil))
def test_a_run_that_is_to_end_begins_nothing_and_ends_all_that_is_open(
    world: World, before: int, running: OnUntil
) -> None:
    for _ in range(before):
        if world.end is None:
            world.step()
    done = {index for index, status in world.ended.items() if status is ItemStatus.COMPLETED}
    if world.end is not None:
        return
    begun = len(world.submitted)
    world.handle(Stop(RunState.EXPIRED, "time", running))
    world.to_the_end()
    assert len(world.submitted) == begun, "nothing new is begun"
    assert world.end == EndRun(RunState.EXPIRED, "time")
    assert set(world.ended) == set(range(world.came)), "what came has an end, and what did not come has none"
    assert all(world.ended[index] is ItemStatus.COMPLETED for index in done), "what was done stays done"


def alone(**rule: object) -> World:
    """One item with one step, which runs."""
    world = World(Rules((StepRule(**rule),), 2), 1, random.Random(0))
    world.room = 0
    world.came = 1
    world.handle(ItemCame())
    return world


def test_a_failed_step_that_may_be_tried_again_is_the_same_step_with_the_next_attempt() -> None:
    world = alone(attempts=2)
    at = world.running.pop(0)
    world.handle(StepEnded(0, at, Outcome.FAILED, "why"))
    assert world.running == {0: At(0, 0, 1)}
    world.handle(StepEnded(0, world.running.pop(0), Outcome.FAILED, "why"))
    assert world.ended == {0: ItemStatus.FAILED}


def test_what_cannot_go_better_is_not_tried_again() -> None:
    world = alone(attempts=2)
    world.handle(StepEnded(0, world.running.pop(0), Outcome.FAILED, "no words", retryable=False))
    assert world.ended == {0: ItemStatus.FAILED}


def test_a_step_that_is_late_fails_once_it_has_ended_and_counts_when_it_made_it() -> None:
    late, made = alone(), alone()
    for world, outcome in ((late, Outcome.CANCELLED), (made, Outcome.OK)):
        world.handle(StepTimedOut(0, At()))
        assert world.cancelled == [(0, At())]
        assert world.ended == {}
        world.handle(StepEnded(0, world.running.pop(0), outcome))
    assert (late.ended, made.ended) == ({0: ItemStatus.FAILED}, {0: ItemStatus.COMPLETED})


def test_what_comes_too_late_changes_nothing() -> None:
    world = alone()
    at = world.running.pop(0)
    world.handle(StepEnded(0, at, Outcome.OK))
    before = dict(world.ended)
    for event in (StepEnded(0, at, Outcome.FAILED), StepTimedOut(0, at), RoundJudged(0, again=True)):
        assert [each for each in world.machine.handle(event) if not isinstance(each, Take)] == []
    assert world.ended == before


def test_a_while_that_holds_for_ever_fails_its_item() -> None:
    machine = Machine(Rules((StepRule(),), 1, has_while=True))
    machine.begin()
    commands = machine.handle(ItemCame())
    for number in range(MAX_ROUNDS):
        assert commands == [Run(0, At(number))]
        machine.handle(StepEnded(0, At(number), Outcome.OK))
        commands = machine.handle(RoundJudged(0, again=True))
    (end, _) = commands
    assert isinstance(end, EndItem)
    assert end.reason == f"while: it still holds after {MAX_ROUNDS} rounds"


def test_a_first_reason_to_end_stays_and_a_harder_one_ends_what_runs() -> None:
    world = alone()
    world.handle(Stop(RunState.COMPLETED, "until", OnUntil.FINISH))
    assert world.cancelled == []
    world.handle(STOP)
    assert world.cancelled == [(0, At())]
    world.handle(StepEnded(0, world.running.pop(0), Outcome.CANCELLED))
    assert world.end == EndRun(RunState.COMPLETED, "until")
