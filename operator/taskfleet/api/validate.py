"""Validates a manifest without a cluster: the same schema as in ``crds/``, the same steps and texts as the API server.

The steps are those of ``kubectl apply --validate=strict``. Each sees only what the one before let through: type and
name, unknown fields, nulls and defaults, the shape, and the CEL rules unless the shape is too broken for them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from taskfleet.api import crd
from taskfleet.api.celrules import rule_errors
from taskfleet.api.defaulting import with_defaults
from taskfleet.api.fielderrors import NO_FIELD, FieldError, Path, field_name, go_plain, go_type, invalid
from taskfleet.api.metadata import as_created, metadata_errors, undecodable, unnamed
from taskfleet.api.shape import shape_errors
from taskfleet.api.unknown import unknown_fields
from taskfleet.core.names import API_VERSION, GROUP, VERSION

_MAX_INT32 = 2**31 - 1
_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a manifest. ``path`` leads to the field, or to where it should be; ``words`` say what is
    wrong with it, to somebody who knows which object and field it is."""

    path: Path
    text: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Validated:
    """The object as the API server would store it, and why it would not when there are problems."""

    manifest: dict[str, Any]
    problems: tuple[Problem, ...]


def is_ours(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest means one of our kinds, even when it misspells the kind or the version."""
    group, _, _ = str(manifest.get("apiVersion", "")).rpartition("/")
    return group == GROUP or manifest.get("kind") in _schemas()


def validate(manifest: Mapping[str, Any]) -> Validated:
    """Validate one of our objects."""
    if problems := tuple(_type_problems(manifest)) or tuple(_decoding_problems(manifest)):
        return Validated(dict(manifest), problems)
    schema = _schemas()[manifest["kind"]]
    created = {**manifest, "metadata": as_created(manifest["metadata"])}
    created.pop("status", None)  # creating ignores it, whatever is in it
    complete = with_defaults(created, schema)
    errors = [*metadata_errors(complete["metadata"]), *shape_errors(complete, schema), *_scale_errors(complete)]
    if any(error.blocking for error in errors):
        errors.append(FieldError((), NO_FIELD, _UNCHECKED))
    else:
        errors.extend(rule_errors(complete, schema))
    title = f'The {complete["kind"]} "{complete["metadata"]["name"]}" is invalid'
    return Validated(complete, tuple(Problem(error.path, f"{title}: {error}", error.text) for error in errors))


@cache
def _schemas() -> dict[str, Mapping[str, Any]]:
    return {
        kind: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind, definition in crd.build().items()
    }


def _type_problems(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("apiVersion", "kind"):
        if manifest.get(key) in (None, ""):
            yield Problem((), f"{key} not set")
        elif not isinstance(manifest[key], str):
            yield Problem((key,), f"{key} isn't string type")


def _decoding_problems(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    version, kind = manifest["apiVersion"], manifest["kind"]
    if version != API_VERSION or kind not in _schemas():
        wrong = "kind" if version == API_VERSION else "apiVersion"
        yield Problem((wrong,), f'no matches for kind "{kind}" in version "{version}"')
        return
    if wrong_type := undecodable(manifest):
        path, text = wrong_type
        yield Problem(path, f"unable to decode: {text}")
        return
    if text := unnamed(manifest.get("metadata") or {}):
        yield Problem(("metadata",), text)
        return
    title = f'{kind} in version "{VERSION}" cannot be handled as a {kind}: strict decoding error'
    for path in unknown_fields(manifest, _schemas()[kind]):
        yield Problem(path, f'{title}: unknown field "{field_name(path)}"')


def _scale_errors(manifest: Mapping[str, Any]) -> Iterator[FieldError]:
    """The API server reads the path of ``/scale`` once more, with words of its own."""
    if manifest["kind"] != "WorkerPool":
        return
    spec, path, field = manifest.get("spec", {}), ("spec", "replicas"), ".spec.replicas"
    if not isinstance(spec, dict):
        text = f"{go_plain(spec)} is of the type {go_type(spec)}, expected map[string]interface{{}}"
        yield invalid(("spec",), 0, f"{field} accessor error: {text}", field=field)
        return
    replicas = spec.get("replicas", 0)
    if type(replicas) is not int:
        text = f"{go_plain(replicas)} is of the type {go_type(replicas)}, expected int64"
        yield invalid(path, 0, f"{field} accessor error: {text}", field=field)
    elif replicas < 0:
        yield invalid(path, replicas, "should be a non-negative integer", field=field)
    elif replicas > _MAX_INT32:
        yield invalid(path, replicas, f"should be less than or equal to {_MAX_INT32}", field=field)
