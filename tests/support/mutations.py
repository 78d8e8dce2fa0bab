"""Manifests with something wrong in them, many and reproducible: good ones changed at random places.

The values are what people write by mistake, and the edges of types and bounds.
"""

import copy
import random
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from taskfleet.api.documents import read_documents
from tests.support.brokenmanifests import GOOD

Path = tuple[str | int, ...]

_WORDS = [
    *("", "a", "a.b", "-a", "A", "a b", "a\nb", "ü", "é" * 10, "x" * 41, "x" * 64, "x" * 254, "x" * 2100),
    *("5 minutes", "-5s", "0s", "1h", "90s", "1m30s", "1.5.5s", "0.5s", "5", "10000h", "100ms", "1ms"),
    *("http://x", "ftp://x", "http://a:b@c", "http://x/v1?key=1", "http://ü", "HTTP://X", "http://x/v1/completions"),
    *("Operator", "External", "None", "Hold", "openai", "smollm2", "fast", "sk-abc", "taskfleet.dev/pool"),
    *("1Gi", "64Mi", "65Mi", "1Ki", "100m", "1.5", "0", 'a<b>&"\\', "\x00\x7f\u00a0\u200b", "\U0001f600"),
]
_NUMBERS = [
    *(0, -1, 1, 2, 3, 10, 1000, 1001, 99999999, 2**31, -(2**63), 2**63 - 1),
    *(0.5, -0.5, 1.5, 1e-7, 0.0001, 123456789.25, 100000000.5, 1e22, 5.5e100),
]
_LISTS: list[Any] = [[], ["a"], [1], [None], [{}], ["a", "a", "a"], [{"name": "a"}, {"name": "a"}], ["a"] * 70]
_MAPS: list[Any] = [
    *({}, {"a": 1}, {"name": "a"}, {"a": "b"}, {"name": None}, {"name": "<&>"}, {"cpu": 3}),
    *({"smollm2": "x"}, {"taskfleet.dev/x": "y"}, {f"k{n}": "v" for n in range(70)}),
]
_KEYS = [
    *("minWorkers", "maxWorkers", "replicas", "autoscaling", "mode", "targetDrainTime", "targetBacklogPerWorker"),
    *("healthCheck", "timeout", "interval", "retry", "initialDelay", "maxDelay", "limits", "maxTaskBytes"),
    *("models", "aliases", "defaultModel", "remoteNames", "apiKeySecretRef", "labels", "annotations", "env"),
    *("tolerations", "name", "key", "value", "status", "unknown"),
]


def our_objects(file: FilePath) -> list[dict[str, Any]]:
    """Our objects in one file of manifests."""
    documents = [document.value for document in read_documents(file.read_text("utf-8"))]
    objects = [item for value in documents for item in value.get("items", [value])]
    return [value for value in objects if value["apiVersion"].startswith("taskfleet.dev/")]


def mutated(seed: int) -> dict[str, Any]:
    """A good object with one to three changes; the same for the same seed."""
    chance = random.Random(seed)
    manifest = copy.deepcopy(chance.choice([value for file in GOOD for value in our_objects(file)]))
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        _change(manifest, chance)
    return manifest


def _change(manifest: dict[str, Any], chance: random.Random) -> None:
    places = [path for path in _paths(manifest.get("spec"), ("spec",)) if len(path) > 1] or [("spec",)]
    path = chance.choice([*places, ("spec",)])
    parent: Any = manifest
    for step in path[:-1]:
        parent = parent[step]
    here, kind = parent[path[-1]], chance.random()
    if kind < 0.6:
        parent[path[-1]] = _value(chance)
    elif kind < 0.75 and isinstance(parent, dict):
        del parent[path[-1]]
        manifest.setdefault("spec", {})
    elif isinstance(here, dict):
        here[chance.choice(_KEYS)] = _value(chance)
    elif isinstance(here, list):
        here.append(copy.deepcopy(chance.choice(here)) if here and kind < 0.9 else _value(chance))
    elif isinstance(parent, dict):
        parent[chance.choice(_KEYS)] = _value(chance)


def _paths(value: Any, path: Path) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from _paths(child, (*path, key))


def _value(chance: random.Random) -> Any:
    kinds: list[list[Any]] = [_WORDS, _WORDS, _WORDS, _NUMBERS, _NUMBERS, _LISTS, _MAPS, [None, True, False]]
    return copy.deepcopy(chance.choice(chance.choice(kinds)))
