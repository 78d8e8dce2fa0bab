"""What the parallel commands are told: files or names of runs, inputs, and the queue that is meant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from taskfleet.api.pipelines import Pipeline, load_pipeline
from taskfleet.cli.target import Target
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.task import QueueKey
from taskfleet.parallel.pipelinerun import run_name
from taskfleet.parallel.record import Record
from taskfleet.store import Store


def read_inputs(given: Sequence[str]) -> dict[str, Any]:
    """Values of ``NAME=VALUE``: JSON where it is that, else a text; ``NAME=@FILE`` is the text of a file."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--input {each!r}: write NAME=VALUE, or NAME=@FILE for the text of a file")
        found[name] = _from_file(name, Path(text[1:])) if text.startswith("@") else _value(text)
    return found


def queue_of(target: Target, pipeline: Pipeline, option: str | None) -> QueueKey:
    """The queue of a pipeline: that of its file, else that of ``--queue``, else the only one there is."""
    named = {queue.spec.queue_ref.name for queue in pipeline.queues if queue.spec.queue_ref is not None}
    if len(named) > 1:
        raise InputError(f"queueRef: a pipeline runs on one queue, and this one names {', '.join(sorted(named))}")
    if option is not None or named:
        return target.queue(option or next(iter(named)))
    if len(target.queues) == 1:
        return target.queues[0]
    known = ", ".join(map(str, target.queues))
    raise click.UsageError(f"say which queue: queueRef in the file, or --queue NAME{f' ({known})' if known else ''}")


def _meant(target: Target, what: str, queue: str | None) -> tuple[list[str], tuple[QueueKey, ...]]:
    """The names of runs, and the queues in which they may be."""
    if not Path(what).is_file():
        return [what], target.queues_to_search(queue)
    pipeline = load_pipeline(Path(what))
    return [run_name(pipeline, each) for each in pipeline.queues], (queue_of(target, pipeline, queue),)


async def find_runs(store: Store, target: Target, what: str, queue: str | None) -> list[tuple[QueueKey, str, Record]]:
    """The runs of a file, or that of a name. Raises NotFound when there is none."""
    names, keys = _meant(target, what, queue)
    found = []
    for key in keys:
        for name in names:
            record = Record.from_fields(await store.runs.fields(key, name))
            if record is not None:
                found.append((key, name, record))
    if not found:
        raise NotFound(
            f"there is no file and no run {what!r} in {', '.join(map(str, keys))}; runs are kept for the queue's "
            "retention time"
        )
    return found


def _from_file(name: str, path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--input {name}=@{path}: cannot read it as text: {error}") from None


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
