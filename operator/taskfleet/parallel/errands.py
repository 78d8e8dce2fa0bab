"""Things that are done by tasks, one after another: a step of an item, a judgement. Each is a generator (``asking``).

The tasks of an errand have its id and a number, so that whoever begins it again finds those that there are.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.task import NewTask, QueueKey, TaskState, TaskView
from taskfleet.parallel.asking import CANCELLED, MOST_TASKS, ByTasks, NoAnswer, TaskFields
from taskfleet.parallel.sender import Sender
from taskfleet.store import Store
from taskfleet.store.watch import Watch

MOST_OF_A_STEP = 2 * MOST_TASKS + 1  # its condition, its arguments, its call


@dataclass(slots=True)
class Errand:
    """``ended`` hears once of its end: then ``outcome`` is set, with a ``value`` or an ``error``. ``used``: its tasks
    that completed. ``cancelled``: no task of it is sent any more, and those that were are ended; ``late`` says why."""

    id: str
    work: ByTasks[Any]
    ended: "Callable[[Errand], None]"
    delay: float = 0.0
    cancelled: bool = False
    late: str = ""
    blind: bool = False
    number: int = 0  # of tasks so far
    task_id: str = ""  # the one that it waits for
    outcome: Outcome | None = None
    value: Any = None
    error: str = ""
    retryable: bool = True
    used: list[str] = field(default_factory=list)


class Errands:
    """``news`` is set when something was heard: then ``go_on``. Keep ``sender`` and ``watch`` running."""

    def __init__(self, store: Store, queue: QueueKey, reader: TaskReader, news: asyncio.Event) -> None:
        self.watch = Watch(lambda ids: store.get(queue, ids), self._task_ended, nudged=True)
        self.sender = Sender(store, queue, self.watch, self._task_is_gone)
        self._reader = reader
        self._news = news
        self._by_task: dict[str, Errand] = {}
        self._heard: deque[tuple[str, TaskView | None]] = deque()

    @property
    def trouble(self) -> str:
        return self.sender.trouble or self.watch.trouble

    @property
    def heard(self) -> bool:
        return bool(self._heard)

    def begin(self, errand: Errand) -> None:
        self._advance(errand, None)

    def cancel(self, errand: Errand, late: str = "") -> None:
        errand.cancelled, errand.late = True, late
        self.sender.cancel(errand.task_id)

    def go_on(self) -> None:
        """Go on with the errands whose tasks have ended."""
        while self._heard:
            task_id, view = self._heard.popleft()
            errand = self._by_task.pop(task_id, None)
            if errand is None:
                continue
            if errand.blind:
                self._cancel_blindly(errand)
            elif view is None:
                _end(errand, Outcome.CANCELLED, CANCELLED)
            else:
                self._advance(errand, view)

    def _task_ended(self, view: TaskView) -> None:
        self._heard.append((view.id, view))
        self._news.set()

    def _task_is_gone(self, task_id: str) -> None:
        self._heard.append((task_id, None))
        self._news.set()

    def _advance(self, errand: Errand, view: TaskView | None) -> None:
        if view is not None and view.state is TaskState.COMPLETED:
            errand.used.append(view.id)
        try:
            fields = errand.work.send(view)  # type: ignore[arg-type]  # a generator begins with None
            task = built(self._reader, fields | {"id": _task_id(errand)}, errand.work)
        except StopIteration as end:
            errand.value = end.value
            _end(errand, Outcome.OK)
        except NoAnswer as why:
            _end(errand, why.outcome, str(why))
        except InputError as error:
            if errand.cancelled:
                errand.blind = True
                self._cancel_blindly(errand)
                return
            errand.retryable = False
            _end(errand, Outcome.FAILED, str(error))
        else:
            errand.task_id = task.id
            self._by_task[task.id] = errand
            if errand.cancelled:  # an earlier coordinator may have sent it
                self.sender.cancel(task.id)
            else:
                task.once = task.announced = True
                task.delay = errand.delay if errand.number == 0 else 0.0
                self.sender.submit(task)
            errand.number += 1

    def _cancel_blindly(self, errand: Errand) -> None:
        """Whoever only cancels may not know all that the words were made from: then each task is ended that may be."""
        if errand.number >= MOST_OF_A_STEP:
            _end(errand, Outcome.CANCELLED, CANCELLED)
            return
        errand.task_id = _task_id(errand)
        errand.number += 1
        self._by_task[errand.task_id] = errand
        self.sender.cancel(errand.task_id)


def built(reader: TaskReader, fields: TaskFields, work: ByTasks[Any]) -> NewTask:
    """The task of what ``work`` yielded. Raises InputError where it is none, with what ``work`` adds to that."""
    try:
        return reader.build(fields)
    except InputError as error:
        work.throw(error)
        raise


def _end(errand: Errand, outcome: Outcome, error: str = "") -> None:
    errand.outcome, errand.error = outcome, (errand.late or error) if error else ""
    errand.ended(errand)


def _task_id(errand: Errand) -> str:
    return f"{errand.id}.{errand.number}" if errand.number else errand.id
