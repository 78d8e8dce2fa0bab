"""Manifests from files and folders: validated, with defaults, every problem with its file and line."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskfleet.api.documents import Document, Unreadable, read_documents
from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.validate import is_ours, validate
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.errors import InvalidManifest

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = Path("-")
_MODELS: dict[str, type[TaskQueue] | type[WorkerPool] | type[ParallelQueue]] = {
    "TaskQueue": TaskQueue,
    "WorkerPool": WorkerPool,
    "ParallelQueue": ParallelQueue,
}


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the files hold. ``notes`` tell what was left aside, ``warnings`` what will not work as it stands."""

    queues: list[TaskQueue] = field(default_factory=list)
    pools: list[WorkerPool] = field(default_factory=list)
    parallel: list[ParallelQueue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(paths: Sequence[Path]) -> Manifests:
    """Read files and folders (not below them), as ``kubectl apply -f`` does; ``-`` is standard input.

    Raises InvalidManifest, whose text has one line for every problem: ``file:line: message``.
    """
    loading = _Loading()
    for path in paths:
        for file in loading.files(path):
            loading.add_file(file)
    return loading.finish()


@dataclass
class _Loading:
    found: Manifests = field(default_factory=Manifests)
    problems: list[str] = field(default_factory=list)
    places: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def files(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
            if not files:
                self.problems.append(f"{path}: no {', '.join(SUFFIXES)} file in this folder")
            yield from files
        else:
            yield path

    def add_file(self, file: Path) -> None:
        try:
            text = sys.stdin.read() if file == STDIN else file.read_text("utf-8-sig")
        except OSError as error:
            self.problems.append(f"{file}: cannot read it: {error.strerror}")
            return
        except UnicodeDecodeError as error:
            self.problems.append(f"{file}: not UTF-8: byte {error.start} is {error.object[error.start]:#04x}")
            return
        try:
            for document in read_documents(text):
                self._add_document(document, document.value, file, ())
        except Unreadable as error:
            self.problems.append(f"{file}:{error.line}: {error}")

    def finish(self) -> Manifests:
        if not self.problems and not self.places:
            self.problems.append("no TaskQueue, no WorkerPool and no ParallelQueue in these files")
        if self.problems:
            raise InvalidManifest("\n".join(self.problems))
        queues = {queue.key for queue in self.found.queues}
        objects: list[WorkerPool | ParallelQueue] = [*self.found.pools, *self.found.parallel]
        for obj in objects:
            if obj.queue not in queues:
                place = self.places[obj.kind, obj.metadata.namespace, obj.metadata.name]
                does = "serves" if isinstance(obj, WorkerPool) else "runs on"
                self.found.warnings.append(
                    f'{place}: {obj.kind} "{obj.metadata.name}" {does} the TaskQueue "{obj.queue}", '
                    "which is in none of these files"
                )
        return self.found

    def _add_document(self, document: Document, value: Any, file: Path, base: tuple[str | int, ...]) -> None:
        place = f"{file}:{document.line_of(base)}"
        if not isinstance(value, dict):
            self.problems.append(f"{place}: invalid object to validate: a manifest is a map of fields")
        elif value.get("kind") == "List" and isinstance(value.get("items"), list):
            for index, item in enumerate(value["items"]):
                self._add_document(document, item, file, (*base, "items", index))
        elif "kind" in value and "apiVersion" in value and not is_ours(value):
            self.found.notes.append(f"{place}: skipped {value['kind']} ({value['apiVersion']}): not of Taskfleet")
        else:
            self._add_object(document, value, file, base)

    def _add_object(self, document: Document, value: dict[str, Any], file: Path, base: tuple[str | int, ...]) -> None:
        validated = validate(value)
        for problem in validated.problems:
            self.problems.append(f"{file}:{document.line_of((*base, *problem.path))}: {problem.text}")
        if validated.problems:
            return
        place = f"{file}:{document.line_of(base)}"
        parsed = _MODELS[value["kind"]].model_validate(validated.manifest)
        key = (parsed.kind, parsed.metadata.namespace, parsed.metadata.name)
        if key in self.places:
            self.problems.append(
                f'{place}: {parsed.kind} "{parsed.metadata.name}" is already at {self.places[key]}; '
                "rename or remove one of the two"
            )
            return
        self.places[key] = place
        if isinstance(parsed, TaskQueue):
            self.found.queues.append(parsed)
        elif isinstance(parsed, WorkerPool):
            self.found.pools.append(parsed)
        else:
            self.found.parallel.append(parsed)
