"""Learns that tasks have ended, for everyone who waits for one: many waits are one reading.

Whoever runs the tasks in this process says at once which ones it ``settled``, and how they ended where it knows that.
What others end (another machine's worker, a deadline, a cancel) is found by looking again and again, more often while
something happens.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from taskfleet.core.errors import StoreError, TaskfleetError
from taskfleet.core.task import TaskView
from taskfleet.store import codec
from taskfleet.store.rounds import AT_ONCE, SLOWEST, Rounds

T = TypeVar("T")

Sink = Callable[[TaskView], None]
Read = Callable[[Sequence[str]], Awaitable[Sequence[TaskView | None]]]


class Watch:
    """``ended`` hears of each followed task once, then those who wait for it. A task may be waited for that is not
    followed: of that only who waits hears. ``trouble`` says why nothing is seen now, "" otherwise."""

    def __init__(self, read: Read, ended: Sink, *, nudged: bool) -> None:
        self.trouble = ""
        self._read = read
        self._ended = ended
        self._open: dict[str, list[Sink]] = {}
        self._followed: set[str] = set()  # of the open ones
        self._expected: set[str] = set()
        self._early: dict[str, TaskView | None] = {}  # what was said of expected ones, as ``settled`` takes it
        self._rounds = Rounds(self._open, nudged=nudged)
        self._nudged: dict[str, None] = {}
        self._look = asyncio.Event()
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._broken: TaskfleetError | None = None
        self._breaking = asyncio.Event()

    @property
    def open(self) -> list[str]:
        """Followed tasks that have not been seen to end."""
        return [task_id for task_id in self._open if task_id in self._followed]

    def follows(self, task_id: str) -> bool:
        """Whether this is a followed or expected task that has not been seen to end."""
        return task_id in self._followed or task_id in self._expected

    def expect(self, ids: Iterable[str]) -> None:
        """These are on their way to the queue: what is said of their ends is kept for ``follow``. Until then nobody
        looks, for the queue may have others' tasks of these ids, and refuse them."""
        self._expected.update(ids)

    def follow(self, ids: Iterable[str], sink: Sink | None = None) -> None:
        """Tell ``ended`` when one of these ends, and ``sink``."""
        followed = list(ids)
        self._followed.update(followed)
        self._expected.difference_update(followed)
        if followed:
            self._none_open.clear()
        self._look_for(followed, sink)
        if self._early:
            self.settled({task_id: self._early.pop(task_id) for task_id in followed if task_id in self._early})

    def _look_for(self, ids: Iterable[str], sink: Sink | None) -> None:
        for task_id in ids:
            sinks = self._open.get(task_id)
            if sinks is None:
                sinks = self._open[task_id] = []
                self._rounds.add(task_id)
            if sink is not None:
                sinks.append(sink)
        if self._open:
            self._rounds.hurry()
            self._look.set()

    def unfollow(self, ids: Iterable[str]) -> None:
        for task_id in ids:
            self._open.pop(task_id, None)
            self._followed.discard(task_id)
        self._none_open_now()

    def expect_no_more(self, ids: Iterable[str]) -> None:
        """They did not come into the queue."""
        for task_id in ids:
            self._expected.discard(task_id)
            self._early.pop(task_id, None)

    def drop(self, task_id: str, sink: Sink) -> None:
        """``sink`` need not hear of this one any more; it is no longer followed when nobody else wants to."""
        sinks = self._open.get(task_id)
        if sinks is not None and sink in sinks:
            sinks.remove(sink)
            if not sinks:
                self.unfollow([task_id])

    def settled(self, ends: Mapping[str, TaskView | None]) -> None:
        """These leases ended: a task is as its view says, and may have ended where there is none."""
        for view in ends.values():
            if view is not None:
                if view.id in self._expected:
                    self._early[view.id] = view
                self._tell(view)
        self.nudge(task_id for task_id, view in ends.items() if view is None)

    def heard(self, ends: Mapping[str, bytes | None]) -> None:
        """These have just ended, each as its record says, where that came with it."""
        waited = {each: record for each, record in ends.items() if each in self._open or each in self._expected}
        self.settled({each: codec.final_view(each, record) if record else None for each, record in waited.items()})

    def nudge(self, ids: Iterable[str]) -> None:
        """These may have ended just now."""
        for task_id in ids:
            if task_id in self._expected:
                self._early.setdefault(task_id)
            if task_id in self._open:
                self._nudged[task_id] = None
        if self._nudged:
            self._look.set()

    def nudge_all(self) -> None:
        """Any of them may have ended just now."""
        self.nudge({**self._open, **dict.fromkeys(self._expected)})

    def broke(self, error: TaskfleetError) -> None:
        """Nothing will end any more: everyone who waits, now or later, gets this error."""
        self._broken = error
        self._breaking.set()

    async def end_of(self, task_id: str) -> TaskView:
        """The task once it has ended. Raises what broke the queue meanwhile."""
        return (await self.ends_of([task_id]))[task_id]

    async def ends_of(self, ids: Sequence[str]) -> dict[str, TaskView]:
        """All of these, by id, once the last has ended. Raises as ``end_of`` does."""
        views: dict[str, TaskView] = {}
        last: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(view: TaskView) -> None:
            views[view.id] = view
            if len(views) == len(wanted) and not last.done():
                last.set_result(None)

        wanted = dict.fromkeys(ids)
        if not wanted:
            return views
        self._look_for(wanted, tell)
        try:
            await self.unless_broken(last)
            return views
        finally:
            for task_id in wanted.keys() - views.keys():
                self._waits_no_more(task_id, tell)

    def _waits_no_more(self, task_id: str, sink: Sink) -> None:
        sinks = self._open.get(task_id, [sink])
        sinks.remove(sink)
        if not sinks and task_id not in self._followed:
            self.unfollow([task_id])

    async def until_none_open(self) -> None:
        await self.unless_broken(asyncio.ensure_future(self._none_open.wait()))

    async def unless_broken(self, waited: "asyncio.Future[T]") -> T:
        """What ``waited`` brings, unless the queue breaks before: then that is raised."""
        breaking = asyncio.ensure_future(self._breaking.wait())
        try:
            await asyncio.wait((waited, breaking), return_when=asyncio.FIRST_COMPLETED)
            if not waited.done():
                assert self._broken is not None
                raise type(self._broken)(str(self._broken))
            return waited.result()
        finally:
            breaking.cancel()
            waited.cancel()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._look.clear()
            seconds = self._rounds.seconds_to_next
            if self._nudged:
                ids, self._nudged = list(self._nudged)[:AT_ONCE], dict.fromkeys(list(self._nudged)[AT_ONCE:])
                await self._read_all(ids)
            elif seconds is not None and seconds <= 0:
                await self._read_all(self._rounds.next())
                self._rounds.done()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._look.wait()

    async def _read_all(self, ids: Sequence[str]) -> None:
        try:
            views = await self._read(ids)
        except StoreError as error:
            self.trouble = str(error)
            self._nudged.update(dict.fromkeys(ids))  # what has been told is not told again
            await asyncio.sleep(SLOWEST)
            return
        self.trouble = ""
        for view in views:
            if view is not None and view.state.is_final:
                self._tell(view)

    def _tell(self, view: TaskView) -> None:
        sinks = self._open.pop(view.id, None)
        if sinks is None:
            return
        if view.id in self._followed:
            self._followed.remove(view.id)
            self._ended(view)
        for sink in sinks:
            sink(view)
        self._none_open_now()

    def _none_open_now(self) -> None:
        if not self._followed:
            self._none_open.set()
