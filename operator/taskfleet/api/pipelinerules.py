"""What must hold between the fields of parallel queues, beyond the shape of each. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from taskfleet.api.fielderrors import Path
from taskfleet.api.parallelqueue import ParallelQueueSpec, Step
from taskfleet.api.taskfields import parameters
from taskfleet.core.errors import InvalidTask

AUTO, AUTO_END = "<AUTO>", "</AUTO>"
FILE_FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "text", ".parquet": "parquet"}
RESERVED = frozenset(("false", "in", "is", "loop", "none", "not", "range", "true", "and", "or", "if", "else", "for"))
NO_JUDGE = "a condition must be an expression; that a model judges it is not possible yet"
AUTO_IS_ALL = f"{AUTO} must begin it and {AUTO_END} end it"
TOOL_NEEDS_ARGUMENTS = "a tool needs arguments; that a model chooses them is not possible yet"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong; ``path`` leads to the field in its document."""

    path: Path
    text: str


def auto(text: str) -> str | None:
    """What stands in ``<AUTO>...</AUTO>``, when nothing else does."""
    stripped = text.strip()
    if stripped.startswith(AUTO) and stripped.endswith(AUTO_END):
        return stripped[len(AUTO) : -len(AUTO_END)].strip()
    return None


def file_form(path: str) -> str | None:
    """How a file of items is read, by its name; None for a name that says nothing."""
    return FILE_FORMS.get(PurePath(path.strip()).suffix.lower())


def of_spec(spec: ParallelQueueSpec, at: Path) -> Iterator[Problem]:
    """What is wrong with one queue."""
    yield from _source(spec, at)
    seen: set[str] = set()
    for number, step in enumerate(spec.action_loop):
        here = (*at, "actionLoop", number)
        if step.name in seen:
            yield Problem((*here, "name"), f"{step.name} is the name of an earlier step as well; give each its own")
        if step.name in spec.inputs or step.name in RESERVED:
            what = "a word of templates" if step.name in RESERVED else "an input as well"
            yield Problem((*here, "name"), f"{step.name} is {what}; give the step another name")
        seen.add(step.name)
        yield from _step(spec, step, here)
    for field, condition in (("while", spec.while_), ("until", spec.until)):
        if condition is not None and AUTO in condition:
            yield Problem((*at, field), NO_JUDGE)


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


def _source(spec: ParallelQueueSpec, at: Path) -> Iterator[Problem]:
    source, here = spec.on, (*at, "on")
    if isinstance(source, str) and "{{" not in source and AUTO not in source and file_form(source) is None:
        yield Problem(
            here, f"{source[:60]!r} is no list, no expression {{{{ }}}} and no file ({', '.join(FILE_FORMS)})"
        )
    if isinstance(source, str) and AUTO in source and auto(source) is None:
        yield Problem(here, AUTO_IS_ALL)


def _step(spec: ParallelQueueSpec, step: Step, at: Path) -> Iterator[Problem]:
    if step.action is None and step.arguments is None:
        yield Problem(at, "it needs an action (what a model is asked), or arguments for a tool")
    elif step.action is not None and step.arguments is not None:
        yield Problem((*at, "action"), "an action is for a model and arguments are for a tool; give one of them")
    elif step.action is not None:
        yield from _model_step(spec, step, step.action, at)
    else:
        yield from _tool_step(spec, step, at)
    if step.condition is not None and AUTO in step.condition:
        yield Problem((*at, "if"), NO_JUDGE)
    try:
        parameters({"parameters": step.parameters}, None)
    except InvalidTask as error:
        field, _, words = str(error).partition(": ")
        yield Problem((*at, *field.split(".")), words)


def _model_step(spec: ParallelQueueSpec, step: Step, action: str, at: Path) -> Iterator[Problem]:
    if step.tool is not None or spec.tool is not None:
        yield Problem((*at, "tool" if step.tool else "action"), TOOL_NEEDS_ARGUMENTS)
    if AUTO in action and auto(action) is None:
        yield Problem((*at, "action"), AUTO_IS_ALL)


def _tool_step(spec: ParallelQueueSpec, step: Step, at: Path) -> Iterator[Problem]:
    if step.tool is None and spec.tool is None:
        yield Problem((*at, "arguments"), "for which tool? Give tool, here or for all steps")
    if step.model is not None:
        yield Problem((*at, "model"), "a tool has no model; leave it out")
    if step.parameters:
        yield Problem((*at, "parameters"), "these are for models; what a tool is told are its arguments")
