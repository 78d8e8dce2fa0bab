r"""Validation rules in CEL, each written once: the API server runs them from the CRD, ``validate.py`` runs them here.

A rule is an annotation of a type (``Annotated[str, Rule(...)]``) or stands in the ``rules`` of a model; ``crd.py``
carries it into ``x-kubernetes-validations``. Its message names the field and the fix, since it is all that a person
gets to read. Where a plain ``pattern`` would print its regular expression at people, a rule stands in its place.
Rules must not call ``size()`` on strings (CEL counts characters, the library that we use bytes) nor use ``\s`` or
``\w`` in expressions (Go means ASCII, the library Unicode).
"""

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

KEYWORD = "x-kubernetes-validations"
OPTIONAL_OLD = "optionalOldSelf"
UNLESS_KEPT = " || oldSelf."
INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVED = "x-kubernetes-preserve-unknown-fields"

# Each unit at most once, largest first, and digits so few that the sum always fits CEL's 64 bits of nanoseconds.
_DURATION = (
    r"^([0-9]{1,5}(\\.[0-9]{1,6})?h)?([0-9]{1,7}(\\.[0-9]{1,6})?m)?"
    r"([0-9]{1,9}(\\.[0-9]{1,6})?s)?([0-9]{1,9}ms)?$"
)
_LABEL = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_VALUE = f"^{_LABEL}?$"
LABEL_KEY = f"^({_SUBDOMAIN}/)?{_LABEL}$"


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL expression over ``self``. ``field_path`` (``.url``) moves the blame to a child of an object;
    the API server then prints no value, as is right where it may hold a secret.

    ``unless_kept``: an expression over ``self`` and ``old`` under which an object that is there may stay as it is.
    """

    expression: str
    message: str
    field_path: str | None = None
    unless_kept: str | None = None

    def to_wire(self) -> dict[str, Any]:
        path = {"fieldPath": self.field_path} if self.field_path else {}
        if self.unless_kept is None:
            return {"rule": self.expression, "message": self.message, **path}
        kept = f"optMap(old, {self.unless_kept}).orValue(false)"
        return {
            "rule": f"{self.expression}{UNLESS_KEPT}{kept}",
            "message": self.message,
            OPTIONAL_OLD: True,
            **path,
        }

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return add_rules(handler(schema), self)


def add_rules(schema: JsonSchemaValue, *rules: Rule) -> dict[str, Any]:
    """``schema`` with the rules after those that it has."""
    if not rules:
        return schema
    return {**schema, KEYWORD: [*schema.get(KEYWORD, ()), *(rule.to_wire() for rule in rules)]}


def duration_between(shortest: str, longest: str, example: str) -> Rule:
    """A duration within bounds, both included."""
    return Rule(
        f"{is_duration('self')} && duration(self) >= duration('{shortest}') && duration(self) <= duration('{longest}')",
        f"must be a duration from {shortest} to {longest}, such as {example}",
    )


def not_longer(shorter: str, longer: str, message: str) -> Rule:
    """One duration of an object against another. A text that is no duration is left to its own rule."""
    one, other = f"self.{shorter}", f"self.{longer}"
    return Rule(f"!({is_duration(one)}) || !({is_duration(other)}) || duration({one}) <= duration({other})", message)


def is_duration(expression: str) -> str:
    """The expression that says whether another one is a duration, to be asked before ``duration()`` is."""
    return f"{expression} != '' && {expression}.matches('{_DURATION}')"


SUBDOMAIN = Rule(
    f"self.matches('^{_SUBDOMAIN}$')",
    "must be the name of an object: lower-case letters, digits, '-' and '.' inside, such as llm-key",
)
DNS_LABEL = Rule(
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "must be lower-case letters, digits and '-', beginning and ending with a letter or digit",
)
MODEL_NAME = Rule(
    "self.matches('^[A-Za-z0-9]([A-Za-z0-9._:/@-]*[A-Za-z0-9])?$')",
    "must be a model name such as qwen2.5:7b or org/model: letters, digits and . _ : / @ - inside, no spaces",
)
TENANT_NAMES = Rule(
    "self.all(tenant, tenant.matches('^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'))",
    "must have names of tenants: at most 63 letters, digits, '.', '_' and '-', beginning with a letter or digit",
)
INPUT_NAMES = Rule(
    "self.all(name, name.matches('^[A-Za-z][A-Za-z0-9_]*$'))",
    "must have names for templates: letters, digits and _, beginning with a letter, such as document",
)
LABELS = Rule(
    f"self.all(key, key.matches('{LABEL_KEY}') && self[key].matches('{LABEL_VALUE}'))",
    "must be labels: keys and values of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a "
    "letter or digit",
)
ANNOTATIONS = Rule(
    f"self.all(key, key.matches('(?i){LABEL_KEY}'))",
    "must be annotations: keys of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or "
    "digit, after a prefix such as example.com/ or none",
)


def not_reserved(what: str) -> Rule:
    """Keys that the controller sets itself."""
    return Rule(
        "self.all(key, !key.startsWith('taskfleet.dev/') && key != 'app.kubernetes.io/name'"
        " && key != 'app.kubernetes.io/managed-by')",
        f"{what} under taskfleet.dev/, app.kubernetes.io/name and app.kubernetes.io/managed-by are set by the "
        "controller; remove them",
    )
