"""What is wrong with a ParallelQueue that no schema can say: its templates, and where its items come from. Pure."""

from collections.abc import Iterator

from taskfleet.api.fielderrors import Path, field_name
from taskfleet.api.parallelobject import ParallelQueueObjectSpec
from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.api.pipelinerules import Problem, file_form, of_inputs, of_spec
from taskfleet.controller.parallelruns.desk import StandsStill
from taskfleet.parallel.scope import of_queue

_ON, _ITEMS = "on", "items"


def check(spec: ParallelQueueObjectSpec) -> None:
    """Raises StandsStill with every problem and the field of each."""
    run = spec.of_run()
    if file_form(run.on) is not None:
        raise StandsStill(
            "ItemsNotSupported",
            f"spec.items: {run.on} is a file, and the controller has none of yours; write the items here, or put the "
            "file into a ConfigMap, name that in inputsFrom, and give the name in double braces as the items",
        )
    if problems := list(dict.fromkeys(map(_words, _problems(spec, run)))):
        raise StandsStill("InvalidSpec", "; ".join(problems))


def in_spec(path: Path) -> str:
    """What the kind calls a field of a run."""
    return field_name(("spec", *(_ITEMS if step == _ON else step for step in path)))


def _problems(spec: ParallelQueueObjectSpec, run: ParallelQueueSpec) -> Iterator[Problem]:
    names = {*run.inputs, *spec.inputs_from}
    yield from of_inputs(run.inputs, ("inputs",))
    yield from of_inputs(spec.inputs_from, ("inputsFrom",))
    for name in spec.inputs_from:
        if name in run.inputs:
            yield Problem(("inputsFrom", name), f"{name} is in inputs as well; give it another name")
    yield from of_spec(run.model_copy(update={"inputs": dict.fromkeys(names)}), ())
    yield from of_queue(run, (), names, ())


def _words(problem: Problem) -> str:
    return f"{in_spec(problem.path)}: {problem.text}"
