"""Reads a file of parallel queues: the kind ParallelQueue, or a pipeline of steps. A problem has its line and field.

A pipeline may call its items ``on``. YAML takes a bare ``on`` for ``true``, also as a key; here that key is meant as it
is written. The kind has ``items`` only: on its way to a cluster nobody puts that right.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from taskfleet.api.base import ApiModel
from taskfleet.api.documents import Document, Unreadable, read_documents
from taskfleet.api.fielderrors import Path as FieldPath
from taskfleet.api.fielderrors import field_name
from taskfleet.api.parallelobject import ParallelQueueObjectSpec
from taskfleet.api.parallelqueue import ParallelQueueSpec, PipelineStep
from taskfleet.api.pipelinerules import Problem, across, of_inputs, of_spec
from taskfleet.core.errors import InvalidManifest
from taskfleet.core.names import API_VERSION

KIND = "ParallelQueue"
_PIPELINE_FIELDS = ("name", "inputs", "steps")
_KIND_FIELDS = ("apiVersion", "kind", "metadata", "spec")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_NAME = 200
_ITEMS, _ON, _ON_AS_READ = "items", "on", "true"
_NO_ON = "is called items in the kind ParallelQueue, since kubectl reads a bare on as true; rename it"
M = TypeVar("M", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class ParallelQueue:
    """One queue of a file. ``at`` is where its fields are in the document, ``id`` its name in a pipeline.
    ``inputs_from`` are names of inputs that only a cluster finds by itself."""

    id: str
    spec: ParallelQueueSpec
    at: FieldPath
    inputs_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a file holds: queues that run one after another."""

    name: str
    queues: tuple[ParallelQueue, ...]
    file: Path
    document: Document

    def complaint(self, problem: Problem) -> str:
        """``file:line: field: what is wrong``."""
        return _complaint(self.file, self.document, problem)

    def place(self, queue: ParallelQueue, path: FieldPath) -> str:
        """``file:line: field`` of a field of one of its queues."""
        return _place(self.file, self.document, (*queue.at, *path))


def load_pipeline(file: Path) -> Pipeline:
    """Read and check a file. Raises InvalidManifest, whose text has one line for every problem."""
    document = _document(file)
    reading = _Reading(document)
    pipeline = reading.pipeline(file)
    if reading.problems or pipeline is None:
        raise InvalidManifest("\n".join(_complaint(file, document, problem) for problem in reading.problems))
    return pipeline


def _document(file: Path) -> Document:
    try:
        documents = list(read_documents(file.read_text("utf-8-sig")))
    except OSError as error:
        raise InvalidManifest(f"{file}: cannot read it: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"{file}: not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None
    except Unreadable as error:
        raise InvalidManifest(f"{file}:{error.line}: {error}") from None
    if not documents:
        raise InvalidManifest(f"{file}:1: it is empty; write a ParallelQueue, or a pipeline with steps")
    if len(documents) > 1:
        raise InvalidManifest(f"{file}:{documents[1].line}: a second document; a file has one")
    return documents[0]


class _Reading:
    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def pipeline(self, file: Path) -> Pipeline | None:
        value = self._document.value
        if not isinstance(value, dict):
            self._complain((), "it is no map of fields; write a ParallelQueue, or a pipeline with steps")
            return None
        queues = list(self._of_kind(value) if "kind" in value else self._of_pipeline(value))
        if self.problems:
            return None
        self.problems += [problem for queue in queues for problem in of_spec(queue.spec, queue.at)]
        self.problems += across([(queue.id, queue.spec, queue.at) for queue in queues])
        name = (
            value["metadata"]["name"]
            if "kind" in value
            else value.get("name") or _NOT_IN_A_NAME.sub("-", file.stem).lstrip("-.")
        )
        return Pipeline(name, tuple(queues), file, self._document)

    def _of_kind(self, value: dict[str, Any]) -> Iterator[ParallelQueue]:
        self._only(value, _KIND_FIELDS)
        if value["kind"] != KIND:
            self._complain(("kind",), f"{value['kind']!r} is no {KIND}, and this command runs nothing else")
        elif value.get("apiVersion") != API_VERSION:
            self._complain(("apiVersion",), f"must be {API_VERSION}")
        metadata = value.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            self._complain(("metadata",), "it needs a name: metadata.name")
        elif (spec := self._model(ParallelQueueObjectSpec, value.get("spec"), ("spec",))) is not None:
            self._check_name(metadata["name"], ("metadata", "name"))
            self.problems += [Problem(path, _NO_ON) for path in _ons(value["spec"], ("spec",))]
            self.problems += of_inputs(spec.inputs, ("spec", "inputs"))
            yield ParallelQueue(metadata["name"], spec.of_run(), ("spec",), tuple(spec.inputs_from))

    def _of_pipeline(self, value: dict[str, Any]) -> Iterator[ParallelQueue]:
        self._only(value, _PIPELINE_FIELDS)
        inputs, steps = value.get("inputs", {}), value.get("steps")
        if not isinstance(inputs, dict):
            self._complain(("inputs",), "must be a map of names to values")
            inputs = {}
        self.problems += of_inputs(inputs, ("inputs",))
        self._check_name(value.get("name"), ("name",))
        if not isinstance(steps, list) or not steps:
            self._complain(("steps",), "must be a list of steps: [{id, action: create_parallel_queue, parameters}]")
            return
        for number, raw in enumerate(steps):
            step = self._model(PipelineStep, raw, ("steps", number))
            if step is not None:
                self.problems += of_inputs(step.parameters.inputs, ("steps", number, "parameters", "inputs"))
                spec = step.parameters.model_copy(update={"inputs": inputs | step.parameters.inputs})
                yield ParallelQueue(step.id, spec, ("steps", number, "parameters"))

    def _check_name(self, name: Any, at: FieldPath) -> None:
        """Of a run: commands, files and keys of the store have it in them."""
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= _MAX_NAME):
            self._complain(at, f"must be a text of 1 to {_MAX_NAME} characters")
        elif name is not None and (name.startswith(("-", ".")) or _NOT_IN_A_NAME.search(name)):
            self._complain(at, f"{name[:60]!r} is no name: letters, digits, _, - and . in between, as checks-2")

    def _only(self, value: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in value:
            if name not in known:
                self._complain((name,), f"unknown field; there are {', '.join(known)}")

    def _model(self, model: type[M], raw: Any, at: FieldPath) -> M | None:
        try:
            return model.model_validate(_with_on(raw))
        except ValidationError as error:
            for found in error.errors():
                self._complain((*at, *found["loc"]), _words(found, model))
            return None

    def _complain(self, path: FieldPath, text: str) -> None:
        self.problems.append(Problem(path, text))


def _complaint(file: Path, document: Document, problem: Problem) -> str:
    return f"{_place(file, document, problem.path)}: {problem.text}"


def _place(file: Path, document: Document, path: FieldPath) -> str:
    path = _as_read(document.value, path)
    field = field_name(tuple(_ON if step == _ON_AS_READ else step for step in path))
    place = f"{file}:{document.line_of(path)}"
    return f"{place}: {field}" if field else place


def _with_on(raw: Any) -> Any:
    """The same with the key that YAML reads as ``true`` called ``on`` again, where a spec has it."""
    if not isinstance(raw, dict):
        return raw
    renamed = {_ON if key == _ON_AS_READ and _ON not in raw else key: value for key, value in raw.items()}
    if "parameters" in renamed:
        renamed["parameters"] = _with_on(renamed["parameters"])
    for name in ("actionLoop", "action_loop"):
        if isinstance(renamed.get(name), list):
            renamed[name] = [_with_on(step) for step in renamed[name]]
    return renamed


def _ons(spec: Mapping[str, Any], at: FieldPath) -> Iterator[FieldPath]:
    """Where a spec, or a step in it, calls its items ``on``."""
    for key, value in spec.items():
        if key in (_ON, _ON_AS_READ):
            yield (*at, key)
        elif to_camel(key) == "actionLoop" and isinstance(value, list):
            for number, step in enumerate(value):
                if isinstance(step, dict):
                    yield from _ons(step, (*at, key, number))


def _as_read(value: Any, path: FieldPath) -> FieldPath:
    """A path with the keys that the document has, which may have them in another case or without quotes."""
    found: list[str | int] = []
    items = _ITEMS if isinstance(value, dict) and "kind" in value else _ON
    for step in path:
        if isinstance(value, dict):
            key = step if step in value else _key_of(str(step), value, items)
            found.append(key)
            value = value.get(key)
        else:
            found.append(step)
            value = value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None
    return tuple(found)


def _key_of(field: str, value: Mapping[str, Any], items: str) -> str:
    """What a map calls a field; ``items``: what the items are to be called where there are none."""
    is_items = field in (_ITEMS, _ON)
    names = {to_camel(name) for name in ((_ITEMS, _ON, _ON_AS_READ) if is_items else (field,))}
    return next((key for key in value if to_camel(key) in names), items if is_items else field)


def _words(found: Any, model: type[BaseModel]) -> str:
    match found["type"]:
        case "extra_forbidden" if found["loc"][-1] in (_ON, _ITEMS):
            return "on and items are one field; give one of them"
        case "extra_forbidden":
            return f"unknown field; there are {', '.join(_fields_at(model, found['loc'][:-1]))}"
        case "missing":
            return "is missing"
        case "string_type" if found["loc"][-1] in ("timeout", "deadline", "delay"):
            return "must be a duration with its unit, such as 30s, 1m30s or 250ms"
        case "string_type" if found["loc"][-1] in ("if", "while", "until"):
            return 'must be an expression in quotes, as "{{ $index < 10 }}"'
        case "model_type":
            return "must be a map of fields"
        case "value_error":
            return str(found["ctx"]["error"])
        case _:
            message: str = found["msg"]
            return message[0].lower() + message[1:]


def _fields_at(model: Any, location: tuple[str | int, ...]) -> list[str]:
    """The names of the fields of the model at a location, in camel case."""
    for step in location:
        if isinstance(step, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            field = fields.get(step) or model.model_fields.get(step)
            parts = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
            model = next((part for part in parts if isinstance(part, type) and issubclass(part, ApiModel)), model)
    return [field.alias or name for name, field in model.model_fields.items()]
