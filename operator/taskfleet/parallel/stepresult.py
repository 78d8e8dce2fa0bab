"""What a step came to, as later templates and the item's result line have it."""

from typing import Any, ClassVar

import orjson

from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.task import TaskView


class StepResult(dict[str, Any]):
    """``ok``, ``output``, ``error`` (a text), ``skipped``, ``attempts`` (tasks, and calls of the last one), ``seconds``
    (of the last call). Printed by itself it is its output."""

    FIELDS: ClassVar[tuple[str, ...]] = ("ok", "output", "error", "skipped", "attempts", "seconds")

    def __str__(self) -> str:
        output = self["output"]
        return "" if output is None else output if isinstance(output, str) else orjson.dumps(output).decode()


def skipped() -> StepResult:
    return StepResult(ok=False, output=None, error=None, skipped=True, attempts=0, seconds=0.0)


def not_asked(error: str) -> StepResult:
    """Of a step that could not be put into words."""
    return StepResult(ok=False, output=None, error=error, skipped=False, attempts=0, seconds=0.0)


def of_task(outcome: Outcome, view: TaskView, attempts: int, error: str) -> StepResult:
    return StepResult(
        ok=outcome is Outcome.OK,
        output=view.output,
        error=error or None,
        skipped=False,
        attempts=attempts + view.attempts,
        seconds=round(view.run_seconds or 0.0, 3),
    )
