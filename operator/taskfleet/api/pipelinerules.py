"""What must hold between the fields of parallel queues, beyond the shape of each. Pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeGuard

from taskfleet.api.fielderrors import Path
from taskfleet.api.parallelqueue import MAX_ITEMS, Call, InnerLoop, ParallelQueueSpec
from taskfleet.api.taskfields import parameters
from taskfleet.api.toolcalls import problems_of
from taskfleet.core.errors import InvalidTask
from taskfleet.core.parallel.rules import OnUntil

AUTO, AUTO_END = "<AUTO>", "</AUTO>"
FILE_FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "text", ".parquet": "parquet"}
RESERVED = frozenset(("false", "in", "is", "loop", "none", "not", "range", "true", "and", "or", "if", "else", "for"))
AUTO_IS_ALL = f"{AUTO} must begin it and {AUTO_END} end it, each once and in capitals"
TOOL_NEEDS_ARGUMENTS = (
    f"a tool needs arguments; give them, or write the action as {AUTO}...{AUTO_END}: then a model chooses"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong; ``path`` leads to the field in its document."""

    path: Path
    text: str


def auto(text: str) -> str | None:
    """What stands in ``<AUTO>...</AUTO>``, when nothing else does."""
    stripped = text.strip()
    if stripped.startswith(AUTO) and stripped.endswith(AUTO_END):
        inside = stripped[len(AUTO) : -len(AUTO_END)].strip()
        return None if AUTO in inside or AUTO_END in inside else inside
    return None


def _is_meant_as_auto(text: str) -> bool:
    return AUTO in text or AUTO_END in text or text.lstrip()[: len(AUTO)].upper() == AUTO


def file_form(on: list[Any] | str) -> str | None:
    """How the file that ``on`` names is read, by its ending; None where it names none: it is a list, an expression, or
    what a model lists."""
    if not isinstance(on, str) or "{{" in on or AUTO in on:
        return None
    return FILE_FORMS.get(PurePath(on.strip()).suffix.lower())


def of_spec(spec: ParallelQueueSpec, at: Path) -> Iterator[Problem]:
    """What is wrong with one queue."""
    yield from _source(spec.on, at, may_be_file=True)
    yield from _steps(spec, spec.action_loop, at, {*spec.inputs})
    for field, condition in (("while", spec.while_), ("until", spec.until)):
        yield from _condition(condition, (*at, field))


def _steps(spec: ParallelQueueSpec, steps: Sequence[Call], at: Path, inputs: Collection[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, step in enumerate(steps):
        here = (*at, "actionLoop", number)
        if step.name in seen:
            yield Problem((*here, "name"), f"{step.name} is the name of an earlier step as well; give each its own")
        if step.name in inputs or step.name in RESERVED:
            what = "a word of templates" if step.name in RESERVED else "an input as well"
            yield Problem((*here, "name"), f"{step.name} is {what}; give the step another name")
        seen.add(step.name)
        yield from _condition(step.condition, (*here, "if"))
        if is_loop(step):
            yield from _loop(spec, step, here, inputs)
        else:
            yield from _call(spec, step, here)


def of_inputs(inputs: Iterable[str], at: Path) -> Iterator[Problem]:
    """What is wrong with the names of inputs."""
    for name in inputs:
        if not name.isidentifier() or name in RESERVED or name.startswith("_"):
            yield Problem((*at, name), "is no name for templates: letters, digits and _, as max_checks")


def across(queues: Sequence[tuple[str, ParallelQueueSpec, Path]]) -> Iterator[Problem]:
    """What is wrong between the queues of a pipeline."""
    seen: set[str] = set()
    for name, spec, at in queues:
        if name in seen:
            yield Problem((*at[:-1], "id"), f"{name} is the id of an earlier step as well; give each its own")
        seen.add(name)
        for other in seen:
            for number, step in enumerate(spec.action_loop):
                if step.name == other and other != name:
                    yield Problem((*at, "actionLoop", number, "name"), f"{other} is the id of an earlier queue as well")
            if other in spec.inputs:
                yield Problem((*at, "inputs", other), f"{other} is the id of a queue as well; give it another name")


def is_loop(step: Call) -> TypeGuard[InnerLoop]:
    """Whether a step is a loop of its own."""
    return isinstance(step, InnerLoop) and (step.on is not None or step.action_loop is not None)


def tool_of(spec: ParallelQueueSpec, step: Call) -> str | None:
    """The tool that a step calls; None for one that asks a model, which an action outside ``<AUTO>`` does."""
    asks = step.arguments is None and auto(step.action or "") is None
    return None if asks else step.tool or spec.tool


def _source(source: list[Any] | str, at: Path, *, may_be_file: bool) -> Iterator[Problem]:
    here = (*at, "on")
    if not isinstance(source, str):
        if len(source) > MAX_ITEMS:
            yield Problem(here, f"a list has at most {MAX_ITEMS:,} items, and this one {len(source):,}; write a file")
        return
    if not ("{{" in source or _is_meant_as_auto(source) or (may_be_file and file_form(source))):
        file = f" and no file ({', '.join(FILE_FORMS)})" if may_be_file else ": a file is only for the whole queue"
        yield Problem(here, f"{source[:60]!r} is no list, no expression {{{{ }}}}{file}")
    yield from _auto_is_all(source, here)


def _condition(condition: str | None, at: Path) -> Iterator[Problem]:
    if condition is not None:
        yield from _auto_is_all(condition, at)


def _auto_is_all(text: str, at: Path) -> Iterator[Problem]:
    if _is_meant_as_auto(text) and auto(text) is None:
        yield Problem(at, AUTO_IS_ALL)
    elif auto(text) == "":
        yield Problem(at, f"there is nothing between {AUTO} and {AUTO_END}; write what a model is to say or do")


def _loop(spec: ParallelQueueSpec, step: InnerLoop, at: Path, inputs: Collection[str]) -> Iterator[Problem]:
    if step.on is None:
        yield Problem(at, "a step with an actionLoop goes over items; give it items")
    else:
        yield from _source(step.on, at, may_be_file=False)
    if step.action_loop is None:
        yield Problem((*at, "on"), "a step with items goes over them with an actionLoop; give one")
        return
    for field in ("action", "tool", "arguments", "model", "parameters"):
        if getattr(step, field):
            yield Problem((*at, field), "this is for a call, and this step is a loop; give it to a step inside")
    for field, condition in (("while", step.while_), ("until", step.until)):
        yield from _condition(condition, (*at, field))
    if auto(step.until or "") is not None:
        yield Problem((*at, "until"), f"{AUTO} is for the until of the whole queue; write an expression")
    yield from _steps(spec, step.action_loop, at, inputs)


def _call(spec: ParallelQueueSpec, step: Call, at: Path) -> Iterator[Problem]:
    if isinstance(step, InnerLoop):
        # Not whether it was written: the API server writes the default of maxParallel into each step.
        for name, is_set in (
            ("as", step.as_ is not None),
            ("maxParallel", step.max_parallel != 1),
            ("while", step.while_ is not None),
            ("until", step.until is not None),
            ("onUntil", step.on_until is not OnUntil.FINISH),
        ):
            if is_set:
                yield Problem((*at, name), "this is for a loop: a step with items and actionLoop")
    if step.action is None and step.arguments is None:
        yield Problem(at, "it needs an action (what a model is asked), or arguments for a tool")
    elif step.action is not None and step.arguments is not None:
        yield Problem((*at, "action"), "an action is for a model and arguments are for a tool; give one of them")
    elif step.action is not None:
        if not step.action.strip():
            yield Problem((*at, "action"), "it is empty; write what a model is asked")
        yield from _auto_is_all(step.action, (*at, "action"))
        if step.tool is not None and AUTO not in step.action:
            yield Problem((*at, "tool"), TOOL_NEEDS_ARGUMENTS)
    else:
        yield from _tool_call(spec, step, at)
    try:
        parameters({"parameters": step.parameters}, None)
    except InvalidTask as error:
        field, _, words = str(error).partition(": ")
        yield Problem((*at, *field.split(".")), words)


def _tool_call(spec: ParallelQueueSpec, step: Call, at: Path) -> Iterator[Problem]:
    if step.tool is None and spec.tool is None:
        yield Problem((*at, "arguments"), "for which tool? Give tool, here or for all steps")
    if step.model is not None:
        yield Problem((*at, "model"), "a tool has no model; leave it out")
    if step.parameters:
        yield Problem((*at, "parameters"), "these are for models; what a tool is told are its arguments")
    arguments = step.arguments or {}
    asked = [name for name, value in arguments.items() if isinstance(value, str) and auto(value) is not None]
    for name in asked:
        words = f"a model chooses all arguments or none: leave them out, and write the action as {AUTO}...{AUTO_END}"
        yield Problem((*at, "arguments", name), words)
    for argument, words in () if asked else problems_of(tool_of(spec, step), arguments):
        yield Problem((*at, "arguments", *argument), words)
