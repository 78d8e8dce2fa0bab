"""The names that templates of a parallel queue know, and the check that they use no other: before anything runs."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from taskfleet.api.fielderrors import Path
from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.api.pipelinerules import AUTO, Problem, auto, file_form
from taskfleet.api.pipelines import Pipeline
from taskfleet.core.errors import InputError, InvalidManifest
from taskfleet.parallel.stepresult import StepResult
from taskfleet.parallel.templates import Compiled, expression, template, unknown_names, value

OF_ITEMS = ("$item", "$index", "$iteration")
OF_RUN = ("$completed", "$failed", "$cancelled", "$done", "$elapsed", "$results")
ALL_ITEMS = "$items"
QUEUE_FIELDS = ("results", "outputs", "completed", "failed", "cancelled")


def check(pipeline: Pipeline, inputs: Collection[str] = ()) -> None:
    """Raise InvalidManifest for templates that cannot be rendered. ``inputs``: those given beside the file."""
    problems: list[Problem] = []
    earlier: list[str] = []
    for queue in pipeline.queues:
        problems += of_queue(queue.spec, queue.at, {*inputs, *queue.spec.inputs, *queue.inputs_from}, earlier)
        earlier.append(queue.id)
    if problems:
        raise InvalidManifest("\n".join(map(pipeline.complaint, problems)))


def of_queue(spec: ParallelQueueSpec, at: Path, inputs: Collection[str], earlier: Collection[str]) -> Iterator[Problem]:
    """What is wrong with the templates of one queue, which know these inputs and the queues before it."""
    outside = {*inputs, *earlier}
    if isinstance(spec.on, str) and file_form(spec.on) is None:
        asked = auto(spec.on)
        yield from _checked(
            spec.on if asked is None else asked, expression if asked is None else template, (*at, "on"), outside
        )
    here = outside | {*OF_ITEMS} | ({ALL_ITEMS} if keeps_items(spec) else set())
    steps: list[str] = []
    for number, step in enumerate(spec.action_loop):
        field = (*at, "actionLoop", number)
        known = here | {*steps}
        if step.condition is not None:
            yield from _checked(step.condition, expression, (*field, "if"), known)
        if step.action is not None:
            yield from _checked(step.action, template, (*field, "action"), known, steps)
        yield from _of_arguments(step.arguments or {}, (*field, "arguments"), known, steps)
        steps.append(step.name)
    if spec.while_ is not None:
        yield from _checked(spec.while_, expression, (*at, "while"), here | {*steps}, steps)
    if spec.until is not None:
        yield from _checked(spec.until, expression, (*at, "until"), outside | {*OF_RUN})


def keeps_items(spec: ParallelQueueSpec) -> bool:
    """Whether all items are at hand: those of a file are read as they come."""
    return not isinstance(spec.on, str) or AUTO in spec.on or file_form(spec.on) is None


def _of_arguments(argument: Any, at: Path, known: Collection[str], steps: Collection[str]) -> Iterator[Problem]:
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
    steps: Collection[str] = (),
) -> Iterator[Problem]:
    try:
        compiled = read(source)
    except InputError as error:
        yield Problem(at, str(error))
        return
    for sentence in unknown_names(compiled, known):
        yield Problem(at, sentence)
    for name, attribute in sorted(compiled.attributes):
        if name in steps and attribute not in StepResult.FIELDS:
            yield Problem(at, f"{name}.{attribute}: a step has only {', '.join(StepResult.FIELDS)}")
