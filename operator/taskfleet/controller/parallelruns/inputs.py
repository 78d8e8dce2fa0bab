"""The values of a ParallelQueue's ``inputsFrom``: of ConfigMaps, and the results of earlier ParallelQueues."""

import tempfile
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import orjson

from taskfleet.api.parallelobject import ConfigMapKey, ParallelQueue
from taskfleet.controller.parallelruns.desk import Desk, StandsStill, Waits
from taskfleet.core.errors import DatasetError
from taskfleet.core.parallel.phase import Phase
from taskfleet.core.task import QueueKey
from taskfleet.parallel.items import file_items
from taskfleet.parallel.record import Record
from taskfleet.store import Store

_ROWS = {".jsonl": "jsonl", ".csv": "csv"}

Earlier = Callable[[str, str], tuple[QueueKey, Phase] | None]
"""The TaskQueue and the phase of the ParallelQueue of a namespace and name; None: there is none."""


async def of_config_maps(queue: ParallelQueue, desk: Desk) -> dict[str, Any]:
    """Raises StandsStill where one of them is missing or cannot be read."""
    values = {}
    for name, source in queue.spec.inputs_from.items():
        if source.config_map is not None:
            data = await desk.config_map(queue.metadata.namespace, source.config_map.name)
            values[name] = _value(name, source.config_map, data)
    return values


def check_earlier(queue: ParallelQueue, earlier: Earlier) -> None:
    """Raises Waits as long as one of those before it has not completed."""
    for name, source in queue.spec.inputs_from.items():
        if source.parallel_queue is None:
            continue
        found = earlier(queue.metadata.namespace, source.parallel_queue.name)
        phase = "not there" if found is None else found[1]
        if phase != Phase.COMPLETED:
            text = (
                f"spec.inputsFrom.{name}: the ParallelQueue {source.parallel_queue.name} is {phase}; waits until it has"
            )
            raise Waits("InputNotReady", f"{text} completed")


async def runs_before(queue: ParallelQueue, earlier: Earlier, store: Store) -> dict[str, tuple[QueueKey, str, Record]]:
    """The runs of those before it, which have completed. Raises StandsStill where they are no longer kept."""
    values = {}
    for name, source in queue.spec.inputs_from.items():
        if source.parallel_queue is None:
            continue
        found = earlier(queue.metadata.namespace, source.parallel_queue.name)
        assert found is not None
        record = Record.from_fields(await store.runs.fields(found[0], source.parallel_queue.name))
        if record is None:
            text = (
                f"spec.inputsFrom.{name}: the results of {source.parallel_queue.name} are no longer kept; run it again"
            )
            raise StandsStill("InputGone", text)
        values[name] = found[0], source.parallel_queue.name, record
    return values


def _value(name: str, wanted: ConfigMapKey, data: Any) -> Any:
    where = f"spec.inputsFrom.{name}: ConfigMap {wanted.name}"
    if data is None:
        raise StandsStill("InputNotFound", f"{where}: there is none of this name in the namespace; create it")
    if wanted.key not in data:
        there = ", ".join(sorted(data)) or "nothing"
        raise StandsStill("InputNotFound", f"{where}: it has no {wanted.key} in its data; there is {there}")
    text, suffix = data[wanted.key], PurePath(wanted.key).suffix.lower()
    try:
        if suffix in _ROWS:
            return _rows(text, _ROWS[suffix])
        return orjson.loads(text) if suffix == ".json" else text
    except (DatasetError, ValueError) as error:
        raise StandsStill("InputNotUsable", f"{where}, {wanted.key}: {error}") from None


def _rows(text: str, form: str) -> list[Any]:
    """As the items of a file are read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        file.write_text(text, "utf-8")
        try:
            return [given[0] for given in file_items(file, form).items(None) if isinstance(given, tuple)]
        except DatasetError as error:
            raise DatasetError(str(error).removeprefix(f"{file}, ")) from None
