"""Result lines on their way out: to stdout, or into a file that appears whole or not at all."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from taskfleet.api.resultline import result_line
from taskfleet.cli import exits
from taskfleet.core.errors import InputError
from taskfleet.core.task import TaskState, TaskView

WIDEST_CAUSE = 160


class Tally:
    """What a stream of tasks came to."""

    def __init__(self) -> None:
        self.total = 0
        self.states: dict[TaskState, int] = {}
        self._causes: dict[str, int] = {}

    def add(self, view: TaskView) -> None:
        self.total += 1
        self.states[view.state] = self.states.get(view.state, 0) + 1
        if view.error is not None and view.state is not TaskState.COMPLETED:
            cause = f"{view.error.code}: {view.error.message}"[:WIDEST_CAUSE]
            self._causes[cause] = self._causes.get(cause, 0) + 1

    def count(self, *states: TaskState) -> int:
        return sum(self.states.get(state, 0) for state in states)

    @property
    def unfinished(self) -> int:
        return self.count(TaskState.PENDING, TaskState.RUNNING)

    @property
    def unsuccessful(self) -> int:
        return self.count(TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED)

    @property
    def exit_code(self) -> int:
        """Failures weigh more than what is not finished."""
        if self.unsuccessful:
            return exits.TASKS_FAILED
        return exits.NOT_FINISHED if self.unfinished else exits.OK

    def causes(self, most: int = 5) -> list[str]:
        """The commonest errors with their numbers, most first."""
        ranked = sorted(self._causes.items(), key=lambda item: -item[1])
        lines = [f"{count} x {cause}" for cause, count in ranked[:most]]
        if len(ranked) > most:
            lines.append(f"and {len(ranked) - most} other causes")
        return lines

    def summary(self) -> str:
        """Such as ``300 tasks: 298 completed, 2 failed``."""
        parts = [f"{self.states[state]} {state.value}" for state in TaskState if self.states.get(state)]
        return f"{tasks(self.total)}: {', '.join(parts)}" if parts else "no tasks"


def summary_numbers(tally: Tally, out: Path | None) -> dict[str, Any]:
    """The tally as JSON types, and where the result lines are."""
    numbers: dict[str, Any] = {state.value: tally.count(state) for state in TaskState}
    return numbers | ({"out": str(out)} if out is not None else {})


def tasks(count: int) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{count} task" if count == 1 else f"{count} tasks"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` atomically: it appears under its name only when the block ends well."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"--out {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp is for secrets; results are an ordinary file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_out(path: Path | None, option: str = "--out") -> None:
    """Refuse an output file that cannot be written, before there is anything to lose."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path}: is a directory")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} {path}: its folder does not exist or cannot be written")


async def write_results(views: AsyncIterator[TaskView], file: BinaryIO) -> Tally:
    """Every task as one result line, in the order of ``views``."""
    tally = Tally()
    async for view in views:
        file.write(orjson.dumps(result_line(view)) + b"\n")
        tally.add(view)
    file.flush()
    return tally
