"""The names that templates of a parallel queue know, and the check that they use no other: before anything runs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from taskfleet.api.fielderrors import Path
from taskfleet.api.parallelqueue import Call, InnerLoop, ParallelQueueSpec
from taskfleet.api.pipelinerules import Problem, auto, file_form, is_loop, tool_of
from taskfleet.api.pipelines import Pipeline
from taskfleet.core.errors import InputError, InvalidManifest
from taskfleet.parallel.earlier import streamed
from taskfleet.parallel.sources import file_of
from taskfleet.parallel.stepresult import StepResult
from taskfleet.parallel.templates import Compiled, expression, template, unknown_names, value

OF_ITEMS = ("$item", "$index", "$iteration")
OF_RUN = ("$completed", "$failed", "$cancelled", "$done", "$elapsed", "$results")
ALL_ITEMS = "$items"
Steps = Mapping[str, Collection[str]]  # what can be asked of each step by its name


def check(pipeline: Pipeline, inputs: Collection[str] = ()) -> None:
    """Raise InvalidManifest for templates that cannot be rendered, and for items of which there is no file. ``inputs``:
    those given beside the file."""
    problems: list[Problem] = []
    earlier: list[str] = []
    for queue in pipeline.queues:
        problems += of_queue(queue.spec, queue.at, {*inputs, *queue.spec.inputs, *queue.inputs_from}, earlier)
        if file_form(queue.spec.on) is not None and not file_of(queue.spec, pipeline.file.parent).is_file():
            problems.append(Problem((*queue.at, "on"), f"there is no file {file_of(queue.spec, pipeline.file.parent)}"))
        earlier.append(queue.id)
    if problems:
        raise InvalidManifest("\n".join(map(pipeline.complaint, problems)))


def of_queue(spec: ParallelQueueSpec, at: Path, inputs: Collection[str], earlier: Collection[str]) -> Iterator[Problem]:
    """What is wrong with the templates of one queue, which know these inputs and the queues before it."""
    outside = {*inputs, *earlier}
    if isinstance(spec.on, str) and file_form(spec.on) is None:
        yield from _asked_or_expression(spec.on, (*at, "on"), outside, {})
    around = outside | ({ALL_ITEMS} if _keeps_items(spec, earlier) else set())
    yield from _of_loop(spec, spec, spec.action_loop, at, around)
    if spec.until is not None:
        yield from _asked_or_expression(spec.until, (*at, "until"), outside | {*OF_RUN}, {})


def _of_loop(
    spec: ParallelQueueSpec,
    loop: ParallelQueueSpec | InnerLoop,
    steps: Sequence[Call],
    at: Path,
    outside: Collection[str],
) -> Iterator[Problem]:
    if f"${loop.as_}" in (*OF_ITEMS, *OF_RUN, ALL_ITEMS):
        yield Problem((*at, "as"), f"${loop.as_} has a meaning of its own; give another name")
    elif loop.as_ is not None and f"${loop.as_}" in outside:
        yield Problem((*at, "as"), f"{loop.as_} is what the items of a loop around it are called; give another name")
    own = {*OF_ITEMS} if loop.as_ is None else {*OF_ITEMS, f"${loop.as_}"}
    here = {*outside, *own}
    seen: dict[str, tuple[str, ...]] = {}
    for number, step in enumerate(steps):
        field = (*at, "actionLoop", number)
        known = here | {*seen}
        if step.name in outside:
            yield Problem((*field, "name"), f"{step.name} has a meaning outside of this loop; give it another name")
        if step.condition is not None:
            yield from _asked_or_expression(step.condition, (*field, "if"), known, seen)
        if is_loop(step):
            yield from _of_inner(spec, step, field, known, seen)
            seen[step.name] = (*StepResult.FIELDS, *StepResult.LOOP)
            continue
        if step.action is not None:
            yield from _checked(step.action, template, (*field, "action"), known, seen)
        yield from _of_arguments(step.arguments or {}, (*field, "arguments"), known, seen)
        chosen = step.action is not None and tool_of(spec, step) is not None
        seen[step.name] = (*StepResult.FIELDS, *(StepResult.CHOSEN if chosen else ()))
    if loop.while_ is not None:
        yield from _asked_or_expression(loop.while_, (*at, "while"), here | {*seen}, seen)


def _of_inner(spec: ParallelQueueSpec, step: InnerLoop, at: Path, known: set[str], seen: Steps) -> Iterator[Problem]:
    if isinstance(step.on, str):
        yield from _asked_or_expression(step.on, (*at, "on"), known, seen)
    around = known | {ALL_ITEMS}
    yield from _of_loop(spec, step, step.action_loop or (), at, around)
    if step.until is not None:
        yield from _asked_or_expression(step.until, (*at, "until"), around | {*OF_RUN}, seen)


def _asked_or_expression(source: str, at: Path, known: Collection[str], steps: Steps) -> Iterator[Problem]:
    asked = auto(source)
    if asked is None:
        yield from _checked(source, expression, at, known, steps)
    else:
        yield from _checked(asked, template, at, known, steps)


def _keeps_items(spec: ParallelQueueSpec, earlier: Collection[str]) -> bool:
    """Whether all items are at hand: those of a file, or of an earlier queue, are read as they come."""
    if streamed(spec.on, earlier) is not None:
        return False
    return file_form(spec.on) is None


def _of_arguments(argument: Any, at: Path, known: Collection[str], steps: Steps) -> Iterator[Problem]:
    match argument:
        case str():
            yield from _checked(argument, value, at, known, steps)
        case dict():
            for name, part in argument.items():
                yield from _of_arguments(part, (*at, name), known, steps)
        case list():
            for number, part in enumerate(argument):
                yield from _of_arguments(part, (*at, number), known, steps)


def _checked(
    source: str,
    read: Callable[[str], Compiled],
    at: Path,
    known: Collection[str],
    steps: Steps,
) -> Iterator[Problem]:
    try:
        compiled = read(source)
    except InputError as error:
        yield Problem(at, str(error))
        return
    if too_much := compiled.too_much():
        yield Problem(at, too_much)
    for sentence in unknown_names(compiled, known):
        yield Problem(at, sentence)
    for name, attribute in sorted(compiled.attributes):
        if name in steps and attribute not in steps[name]:
            yield Problem(at, f"{name}.{attribute}: a step has only {', '.join(steps[name])}")
