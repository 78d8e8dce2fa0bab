"""Drives one run: hears of tasks that end, asks the machine what follows, and has it done.

What it does at once is in memory; what goes to the store goes through a sender (tasks), a watch (their ends) and a
journal (where the run is). Each is one call for many items, so that a step costs about what a plain task costs.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from taskfleet.api.tasklines import TaskReader
from taskfleet.core.errors import DatasetError, InputError
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
    Stop,
    Take,
)
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.quantities import format_duration
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.parallel.items import Placed, Source
from taskfleet.parallel.journal import Journal
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.plan import Plan, StepPlan
from taskfleet.parallel.record import Record
from taskfleet.parallel.sender import Sender
from taskfleet.parallel.stepresult import not_asked, of_task, skipped
from taskfleet.parallel.timers import Timers
from taskfleet.parallel.until import Until
from taskfleet.store import Store
from taskfleet.store.watch import Watch

TAKEN_AT_ONCE = 500  # items, before others have their turn
_OUTCOMES = {TaskState.COMPLETED: Outcome.OK, TaskState.CANCELLED: Outcome.CANCELLED}


class Driver:
    """One run, from where its record and open items are. ``run`` once."""

    def __init__(
        self,
        store: Store,
        queue: QueueKey,
        name: str,
        holder: str,
        *,
        plan: Plan,
        record: Record,
        items: dict[int, OpenItem],
        source: Source,
        reader: TaskReader,
    ) -> None:
        self.record = record
        self._store = store
        self._queue = queue
        self._plan = plan
        self._reader = reader
        self._source = source
        self._items = items
        self._machine = Machine(plan.rules)
        self._watch = Watch(lambda ids: store.get(queue, ids), self._task_ended, nudged=True)
        self._sender = Sender(store, queue, self._watch, self._task_is_gone)
        self._journal = Journal(store, queue, name, holder, record, items)
        self._until = Until(plan.until, plan.inputs)
        deadline = plan.spec.deadline
        self._timers = Timers(record.began + deadline.seconds if deadline is not None else None)
        self._tasks: dict[str, tuple[int, At]] = {}
        self._late: dict[str, str] = {}  # tasks that are cancelled since they take too long, and what that means
        self._views: deque[TaskView] = deque()
        self._events: deque[Event] = deque()
        self._room = 0
        self._coming: Iterator[Placed] | None = None
        self._news = asyncio.Event()
        self._end: EndRun | None = None
        self._shared = dict(plan.inputs)
        if record.kept is not None:
            self._shared["$items"] = record.kept

    @property
    def open(self) -> int:
        """How many items are on their way."""
        return len(self._items)

    @property
    def trouble(self) -> str:
        """Why it does not go on now; "" when it does."""
        return self._sender.trouble or self._journal.trouble or self._watch.trouble

    def stop(self, stop: Stop) -> None:
        """End the run before its items have ended. Before ``run``, or while it runs."""
        self._events.append(stop)
        self._news.set()

    def add_result(self, line: dict[str, Any]) -> None:
        """A result of before, for the condition that ends the run."""
        self._until.add(line)

    @property
    def wants_results(self) -> bool:
        return self._until.wants_results

    async def run(self, kept_seconds: float) -> None:
        """To the end of the run; its results are kept for so long then. Raises TakenOver, StoreError, NotFound.

        Who is cancelled leaves the run to be gone on with.
        """
        await self._journal.write()  # before its first task: who goes on with the run must know the ids of those
        helpers = [
            asyncio.create_task(work)
            for work in (self._watch.run(), self._sender.run(), self._journal.run(), self._hear())
        ]
        driving = asyncio.create_task(self._drive())
        try:
            await asyncio.wait([driving, *helpers], return_when=asyncio.FIRST_COMPLETED)
            if not driving.done():
                for helper in helpers:
                    if helper.done():
                        helper.result()
            await driving
        finally:
            await _ended([driving, *helpers])
        await self._journal.write(kept_seconds)

    async def leave(self) -> None:
        """Write down where the run is, after it was cancelled."""
        await self._journal.write()

    async def _hear(self) -> None:
        async for queue, ids in self._store.ends():
            if queue == self._queue:
                self._watch.nudge(ids)

    async def _drive(self) -> None:
        self._begin()
        while self._end is None:
            self._news.clear()
            self._take_views()
            self._handle_all()
            self._look_at_the_time()
            self._handle_all()
            taken = self._take_items()
            if self._end is None and not self._events and not self._views and not taken:
                await self._something_new()
            else:
                await asyncio.sleep(0)
        self.record.state, self.record.reason = self._end.state, self._end.reason
        self.record.finished = time.time()

    def _begin(self) -> None:
        record = self.record
        where = {index: item.at for index, item in self._items.items()}
        self._obey_all(self._machine.begin(where, record.taken, source_ended=record.source_ended, stop=record.stop))

    async def _something_new(self) -> None:
        times = [self._until.seconds_to_next_look, self._timers.seconds_to_next]
        wait = min((seconds for seconds in times if seconds is not None), default=None)
        try:
            async with asyncio.timeout(wait):
                await self._news.wait()
        except TimeoutError:
            pass

    def _look_at_the_time(self) -> None:
        self._events.extend(self._timers.due())
        if self._timers.deadline_has_come():
            words = f"its deadline of {self._plan.spec.deadline} has passed"
            self._events.append(Stop(RunState.EXPIRED, words, OnUntil.CANCEL))
        if self._machine.stop is not None:
            return
        try:
            if self._until.holds(self.record.tally, time.time() - self.record.began):
                words = f"until: {self._plan.spec.until} holds"
                self._events.append(Stop(RunState.COMPLETED, words, self._plan.spec.on_until))
        except InputError as error:
            self._events.append(Stop(RunState.FAILED, str(error), OnUntil.FINISH))

    # Events

    def _task_ended(self, view: TaskView) -> None:
        self._views.append(view)
        self._news.set()

    def _task_is_gone(self, task_id: str) -> None:
        if task_id in self._tasks:
            index, at = self._tasks.pop(task_id)
            self._events.append(StepEnded(index, at, Outcome.CANCELLED, self._late.pop(task_id, "")))
            self._news.set()

    def _take_views(self) -> None:
        while self._views:
            view = self._views.popleft()
            if view.id not in self._tasks:
                continue
            index, at = self._tasks.pop(view.id)
            outcome, error = _OUTCOMES.get(view.state, Outcome.FAILED), ""
            if outcome is not Outcome.OK:
                error = self._late.pop(view.id, "") or _words(view)
            item, step = self._items[index], self._plan.steps[at.step]
            item.results[step.name] = of_task(outcome, view, at.attempt, error)
            self._journal.moved(index, view.id if outcome is Outcome.OK else "")
            self._step_ended(index, at, outcome, error, retryable=True)

    def _step_ended(self, index: int, at: At, outcome: Outcome, error: str = "", *, retryable: bool = False) -> None:
        self.record.tally.step_ended(self._plan.steps[at.step].name, outcome.value)
        self._events.append(StepEnded(index, at, outcome, error, retryable))

    def _handle_all(self) -> None:
        while self._events:
            self._obey_all(self._machine.handle(self._events.popleft()))

    def _take_items(self) -> int:
        """Bring items as long as there is room for them, up to a number; how many came."""
        taken = 0
        while self._room and taken < TAKEN_AT_ONCE and self._machine.stop is None:
            self._room = 0  # the machine says anew how much there is
            try:
                event: Event = self._next_item()
            except DatasetError as error:
                event = SourceEnded(str(error))
            taken += isinstance(event, ItemCame)
            self._events.append(event)
            self._handle_all()
        return taken

    def _next_item(self) -> ItemCame | SourceEnded:
        if self._coming is None:
            self._coming = self._source.items(self.record.cursor)
        found = next(self._coming, None)
        if found is None:
            self.record.source_ended = True
            self.record.total = self.record.taken
            return SourceEnded()
        value, self.record.cursor = found
        index = self.record.taken
        self.record.taken += 1
        self._items[index] = OpenItem(index, value, time.time())
        return ItemCame()

    # Commands

    def _obey_all(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Take(count):
                    self._room = count
                case Run(index, at):
                    self._run_step(index, at)
                case Judge(index):
                    self._judge(index)
                case CancelStep(index, at):
                    self._cancel_step(index, at)
                case EndItem():
                    self._end_item(command)
                case EndRun():
                    self._end = command
        self.record.stop = self._machine.stop

    def _task_id(self, index: int, at: At) -> str:
        return f"{self.record.nonce}-{index}-{at.round}-{at.step}-{at.attempt}"

    def _run_step(self, index: int, at: At) -> None:
        item, step = self._items[index], self._plan.steps[at.step]
        again = item.at == at and item.step_began > 0
        if at.step == 0 and at.attempt == 0 and not again:
            item.results = {}
        item.at, item.step_began = at, item.step_began if again else time.time()
        self._journal.moved(index)
        names = self._shared | item.names()
        task_id = self._task_id(index, at)
        try:
            if at.attempt == 0 and not step.is_wanted(names):
                item.results[step.name] = skipped()
                self._step_ended(index, at, Outcome.SKIPPED)
                return
            task = step.task(self._reader, task_id, at, names)
        except InputError as error:
            item.results[step.name] = not_asked(str(error))
            self._step_ended(index, at, Outcome.FAILED, str(error))
            return
        self._tasks[task_id] = index, at
        self._time(item, step)
        self._sender.submit(task)

    def _cancel_step(self, index: int, at: At) -> None:
        task_id, timeout = self._task_id(index, at), self._plan.steps[at.step].timeout
        if self._machine.stop is None:
            self._late[task_id] = f"timeout: it was not done within {format_duration(timeout or 0.0)}"
        self._tasks[task_id] = index, at
        self._sender.cancel(task_id)

    def _time(self, item: OpenItem, step: StepPlan) -> None:
        if step.timeout is not None:
            self._timers.step(item.index, item.at, item.step_began + step.timeout)

    def _judge(self, index: int) -> None:
        item = self._items[index]
        names = self._shared | item.names() | {"$iteration": item.at.round + 1}
        try:
            self._events.append(RoundJudged(index, self._plan.goes_on(names)))
        except InputError as error:
            self._events.append(RoundJudged(index, again=False, error=str(error)))

    def _end_item(self, end: EndItem) -> None:
        line = self._items.pop(end.index).line(end.status, end.reason, time.time())
        self.record.tally.item_ended(end.status, end.reason)
        self._journal.ended(end.index, orjson.dumps(line))
        if self._until.wants_results:
            self._until.add(line)


def _words(view: TaskView) -> str:
    if view.state is TaskState.CANCELLED:
        return "its task was cancelled"
    return f"{view.error.code}: {view.error.message}" if view.error else view.state.value


async def _ended(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
