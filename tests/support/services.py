"""Services and pools that look for them, as an API server shows them."""

import itertools
from collections.abc import Mapping
from typing import Any

from taskfleet.api.parallelobject import ParallelQueue

Object = dict[str, Any]
LABELS = {"app": "ollama"}


class NoParallelQueues:
    """Takes them where a test has none."""

    def set(self, queue: ParallelQueue) -> None:
        raise AssertionError(queue)

    def forget(self, namespace: str, name: str) -> None:
        raise AssertionError(name)


_versions = itertools.count(1)


def service(
    name: str,
    *,
    namespace: str = "test",
    labels: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
    **meta: Any,
) -> Object:
    """A Service in a new version, with the labels that ``searching_pool`` wants and port 11434 unless told others."""
    found = [{"name": each, "port": port, "protocol": "TCP"} for each, port in (ports or {"http": 11434}).items()]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(next(_versions)),
            "labels": dict(LABELS if labels is None else labels),
            **meta,
        },
        "spec": {"ports": found},
    }


def searching_pool(*listed: str, queue: str = "demo", **spec: Any) -> Object:
    """The WorkerPool ``pool`` in a new version that takes Services with ``LABELS``, beside the endpoints ``listed``."""
    discovery = {
        "selector": {"matchLabels": LABELS},
        "port": 11434,
        "provider": "ollama",
        "models": ["small"],
        **spec.pop("discovery", {}),
    }
    version = next(_versions)
    return {
        "apiVersion": "taskfleet.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {
            "name": "pool",
            "namespace": "test",
            "uid": "uid-pool",
            "resourceVersion": str(version),
            "generation": version,
        },
        "spec": {
            "queueRef": {"name": queue},
            "endpoints": [{"name": each, "url": f"http://{each}/v1", "models": ["small"]} for each in listed],
            "discovery": discovery,
            **spec,
        },
    }
