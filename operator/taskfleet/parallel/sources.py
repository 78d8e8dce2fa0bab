"""What ``on`` of a parallel queue stands for: the items that a run goes over."""

from pathlib import Path
from typing import Any

from taskfleet.api.parallelqueue import MAX_ITEMS, ParallelQueueSpec
from taskfleet.api.pipelinerules import auto, file_form
from taskfleet.core.errors import DatasetError, InputError
from taskfleet.parallel.asking import ByTasks, Question, ask
from taskfleet.parallel.field import Field
from taskfleet.parallel.items import ItemList, Source, file_items
from taskfleet.parallel.listing import listing
from taskfleet.parallel.plan import Plan
from taskfleet.parallel.templates import expression, template


def source_of(spec: ParallelQueueSpec, plan: Plan, folder: Path) -> ByTasks[Source]:
    """The items of a run that begins. Raises InputError and DatasetError, which name the field, and NoAnswer."""
    if isinstance(spec.on, list):
        return _listed(spec.on, plan.on)
    if (wanted := auto(spec.on)) is not None:
        asked = template(wanted).render(plan.inputs, plan.on)
        found = yield from ask(Question(plan.on, asked, spec.model), listing(asked, wanted), plan.manners)
        return _listed(found, plan.on)
    if "{{" in spec.on:
        return _listed(expression(spec.on).render(plan.inputs, plan.on), plan.on)
    return file_source(spec, plan, folder)


def file_source(spec: ParallelQueueSpec, plan: Plan, folder: Path) -> Source:
    """The items of the file that ``on`` names, from ``folder`` on. Raises InputError and DatasetError."""
    try:
        return file_items(file_of(spec, folder), file_form(spec.on) or "")
    except (InputError, DatasetError) as error:
        raise type(error)(f"{plan.on}: {error}") from None


def file_of(spec: ParallelQueueSpec, folder: Path) -> Path:
    """The file that ``on`` names."""
    return folder / str(spec.on).strip()


def _listed(found: Any, on: Field) -> ItemList:
    if not isinstance(found, list):
        raise InputError(f"{on}: it is no list but {type(found).__name__}: {str(found)[:60]!r}")
    if len(found) > MAX_ITEMS:
        raise InputError(f"{on}: a list has at most {MAX_ITEMS:,} items, and this one {len(found):,}; write a file")
    return ItemList(found)
