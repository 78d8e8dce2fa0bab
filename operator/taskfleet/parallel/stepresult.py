"""What a step came to, as later templates and the item's result line have it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.parallel.tally import Tally
from taskfleet.core.task import TaskView
from taskfleet.parallel.asking import outcome_of, words_of


class StepResult(dict[str, Any]):
    """``ok``, ``output``, ``error`` (a text), ``skipped``, ``attempts`` (tasks, and calls of the last one), ``seconds``
    (of the last call). ``CHOSEN``: the arguments, where a model chose them; ``LOOP``: what only a loop has. Printed by
    itself it is its output."""

    FIELDS: ClassVar[tuple[str, ...]] = ("ok", "output", "error", "skipped", "attempts", "seconds")
    CHOSEN: ClassVar[tuple[str, ...]] = ("arguments",)
    LOOP: ClassVar[tuple[str, ...]] = ("results", *(status.value for status in ItemStatus))

    def __str__(self) -> str:
        output = self["output"]
        return "" if output is None else output if isinstance(output, str) else orjson.dumps(output).decode()


def skipped() -> StepResult:
    return StepResult(ok=False, output=None, error=None, skipped=True, attempts=0, seconds=0.0)


def not_done(error: str) -> StepResult:
    """Of a step that came to no call: it could not be put into words, or was cancelled before."""
    return StepResult(ok=False, output=None, error=error, skipped=False, attempts=0, seconds=0.0)


def of_task(view: TaskView, attempts: int, *, tool: bool) -> tuple[StepResult, Outcome]:
    """``attempts``: tasks before this one. A tool that says itself that it went wrong has failed."""
    outcome = outcome_of(view)
    error = words_of(view) if outcome is not Outcome.OK else _own_words(view.output) if tool else ""
    if error and outcome is Outcome.OK:
        outcome = Outcome.FAILED
    result = StepResult(
        ok=outcome is Outcome.OK,
        output=view.output,
        error=error or None,
        skipped=False,
        attempts=attempts + view.attempts,
        seconds=round(view.run_seconds or 0.0, 3),
    )
    return result, outcome


def of_loop(lines: Sequence[Mapping[str, Any]], tally: Tally, last: str, seconds: float, error: str) -> StepResult:
    """Of a step that is a loop: ``lines`` are the results of its items in their order, ``last`` its last step."""
    counts = {status.value: count for status, count in tally.items.items()}
    outputs = [line["steps"].get(last, {}).get("output") for line in lines]
    attempts = sum(line["attempts"] for line in lines)
    plain = {"ok": not error, "output": outputs, "error": error or None, "skipped": False}
    return StepResult(**plain, attempts=attempts, seconds=round(seconds, 3), results=list(lines), **counts)


def _own_words(output: Any) -> str:
    """Why a tool says that it went wrong; "" where it does not."""
    match output:
        case {"ok": False, "error": {"code": str(code), "message": str(message)}}:
            return f"{code}: {message}"
        case {"ok": False, "killed_by": str(limit)}:
            return f"killed: it used more {limit} than it may"
        case {"ok": False, "exit_status": int(status)}:
            return f"exit status {status}"
        case {"ok": False, "status": int(status)}:
            return f"status {status}"
        case {"ok": False}:
            return "the tool says that it went wrong"
    return ""
