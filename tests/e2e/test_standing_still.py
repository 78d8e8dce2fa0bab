"""Why does a queue stand still? Planted in a cluster, and asked as an outsider asks: `explain`, and then the guide.

Each case has a queue and a pool of its name. What is said must have words that docs/guides/troubleshooting.md has in
its table, for an outsider looks them up there.
"""

import re
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import ROOT
from tests.support.waiting import wait_until

GUIDE = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text()
PHRASES = [each for row in re.findall(r"^\| (`.+?) \|", GUIDE, re.MULTILINE) for each in re.findall("`(.+?)`", row)]
SMALL, TASKS = {"name": "small"}, 6
ENDPOINT = {"name": "llm", "url": "http://llm:8080/v1", "models": ["small"], "concurrency": 1}

# What is planted: parts of the queue's spec, of its pool's (None: there is none), and what `explain` must say of it.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "nobody": ({}, None, "no WorkerPool has this queue in spec.queueRef"),
    "other-model": (
        {"models": [SMALL, {"name": "large"}]},
        {"endpoints": [{**ENDPOINT, "models": ["large"]}]},
        f"no endpoint serves small ({TASKS} tasks); add the model to spec.endpoints[].models",
    ),
    "paused": ({}, {}, "it is paused until someone resumes it"),
    "held": ({"stopPolicy": "Hold"}, {}, "stopPolicy is Hold"),
    "down": ({}, {"endpoints": [{**ENDPOINT, "url": "http://llm:9/v1"}]}, "EndpointsHealthy is False: llm:"),
    "image": ({}, {"workerTemplate": {"image": "example.invalid/none:1"}}, "ImagePull"),
    "secret": (
        {},
        {"endpoints": [{**ENDPOINT, "apiKeySecretRef": {"name": "no-such", "key": "token"}}]},
        'secret "no-such" not found',
    ),
    "no-room": ({}, {"workerTemplate": {"resources": {"requests": {"cpu": "900"}}}}, "Insufficient cpu"),
    "scaled-away": (
        {},
        {"autoscaling": {"mode": "External", "maxWorkers": 2}, "replicas": 0},
        "autoscaling.mode is External and spec.replicas is 0",
    ),
    "limited": (
        {},
        {"endpoints": [{**ENDPOINT, "rateLimit": {"requestsPerMinute": 1}}]},
        "a minute is used up",
    ),
    "by-hand": ({"execution": "External"}, {}, "the queue's execution is External"),
}


def objects(namespace: str) -> list[dict[str, Any]]:
    made = []
    for name, (queue, pool, _) in CASES.items():
        head = {"apiVersion": "taskfleet.dev/v1alpha1", "metadata": {"name": name, "namespace": namespace}}
        spec = {"models": [SMALL], "defaultModel": "small", **queue}
        made.append({**head, "kind": "TaskQueue", "spec": spec})
        if pool is not None:
            served = {"queueRef": {"name": name}, "endpoints": [ENDPOINT], "autoscaling": {"maxWorkers": 2}, **pool}
            made.append({**head, "kind": "WorkerPool", "spec": served})
    return made


@pytest.fixture
def planted(installed: Cluster, namespace: str) -> str:
    installed.apply(*objects(namespace))
    # A queue is there for tasks once a controller has seen it; not all of these are ever Ready.
    seen = ("wait", "--for=jsonpath={.status.observedGeneration}=1", "tq", "--all", "-n", namespace)
    installed.kubectl(*seen, "--timeout=60s", seconds=70)
    installed.taskfleet("pause", "paused", "-n", namespace)
    lines = "".join(f'{{"prompt": "task {number}"}}\n' for number in range(TASKS))
    for name in CASES:
        installed.taskfleet("submit", name, "-n", namespace, "-f", "-", stdin=lines)
    return namespace


def test_explain_says_why_a_queue_stands_still_in_words_that_the_guide_knows(installed: Cluster, planted: str) -> None:
    said: dict[str, str] = {}

    def all_are_explained() -> bool:
        for name, (_, _, wanted) in CASES.items():
            if wanted not in said.get(name, ""):
                said[name] = installed.taskfleet("explain", "queue", name, "-n", planted)
        return all(wanted in said[name] for name, (_, _, wanted) in CASES.items())

    try:
        wait_until(all_are_explained, "every standstill to be explained", timeout=180)
    finally:
        for name, text in said.items():
            print(f"\n$ taskfleet explain queue {name}\n{text}")
    unknown = [name for name, text in said.items() if not any(phrase in text for phrase in PHRASES)]
    assert unknown == [], f"the guide has no row for these; its phrases are {PHRASES}"
