"""Fields of a TaskQueue or WorkerPool that a caller gives, checked as the API server checks those of a manifest."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from taskfleet.api.base import ApiModel
from taskfleet.api.endpoint import Endpoint
from taskfleet.api.fielderrors import field_name
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.core.errors import InputError
from taskfleet.core.names import API_VERSION
from taskfleet.core.pool import Strategy
from taskfleet.sdk.missing import what_is_missing

M = TypeVar("M", bound=ApiModel)


def parsed(model: type[M], fields: Mapping[str, Any], where: str) -> M:
    """``fields`` as one of our models. Raises InputError, which names ``where`` and the field."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = (f"{field_name((where, *item['loc']))}: {_words(model, item)}" for item in error.errors())
        raise InputError("; ".join(problems)) from error


def _words(model: type[ApiModel], problem: ErrorDetails) -> str:
    if problem["type"] != "extra_forbidden":
        return problem["msg"]
    return f"there is no such field, only {', '.join(_fields_beside(model, problem['loc']))}"


def _fields_beside(model: type[ApiModel], path: Sequence[str | int]) -> list[str]:
    """The fields that the object has in which ``path`` ends."""
    whole = model.model_json_schema()

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        reference = next((each["$ref"] for each in (schema, *schema.get("anyOf", ())) if "$ref" in each), None)
        return schema if reference is None else whole["$defs"][reference.rpartition("/")[2]]

    found = whole
    for step in path[:-1]:
        inside = resolved(found)
        listed = next((each for each in (inside, *inside.get("anyOf", ())) if "items" in each), inside)
        named = inside.get("properties", {})
        found = listed["items"] if isinstance(step, int) else named.get(step) or inside["additionalProperties"]
    return list(resolved(found).get("properties", ()))


def check_policy(spec: TaskQueueSpec) -> None:
    """The rules over several fields of a queue: durations, circles of fallbacks, ... Raises InputError."""
    _check("TaskQueue", spec.to_wire(), {"spec": "policy"})


def check_instances(endpoints: Sequence[Endpoint], strategy: Strategy) -> None:
    """The rules over the fields of endpoints, and over all of them. Raises InputError."""
    pool = {
        "queueRef": {"name": "queue"},
        "strategy": strategy.value,
        "endpoints": [endpoint.to_wire() for endpoint in endpoints],
    }
    _check("WorkerPool", pool, {"spec.endpoints": "instances", "spec": ""})


def _check(kind: str, spec: dict[str, Any], called: Mapping[str, str]) -> None:
    """``called``: what the caller knows the beginning of a field's path as."""
    with what_is_missing():
        from taskfleet.api.validate import validate
    manifest = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "queue"}, "spec": spec}
    problems = [f"{_known_as(field_name(each.path), called)}: {each.words}" for each in validate(manifest).problems]
    if problems:
        raise InputError("; ".join(problems))


def _known_as(field: str, called: Mapping[str, str]) -> str:
    for theirs, own in called.items():
        if field.startswith(theirs):
            return (own + field.removeprefix(theirs)).removeprefix(".")
    return field
