"""Tools in pods: a page fetched, the same page in a real browser, and a command in its sandbox, or why it has none.

``TASKFLEET_E2E_TOOLS_IMAGE`` names the image (``docker build --target tools``), ``TASKFLEET_E2E_SECCOMP`` where
manifests/seccomp/taskfleet-terminal.json is among the profiles of all nodes; without it the profile is Unconfined.
"""

import json
import os
import secrets
from typing import Any

import pytest

from taskfleet.core.names import deployment_name
from tests.e2e.cluster import RESTRICTED, Cluster
from tests.e2e.conftest import IMAGE
from tests.support.waiting import wait_until

TOOLS_IMAGE = os.environ.get("TASKFLEET_E2E_TOOLS_IMAGE", "")
PROFILE = os.environ.get("TASKFLEET_E2E_SECCOMP", "")
NAME = "tools"
LANES = {"web": "http", "browser": "headless-browser", "shell": "terminal"}
PAGE = "<title>not yet</title><body>Some words.<script>document.title = 'made by script'</script>"


def site(namespace: str) -> list[dict[str, Any]]:
    """One page, as the Service ``site``."""
    labels, meta = {"app": "site"}, {"name": "site", "namespace": namespace}
    container = {
        "name": "site",
        "image": IMAGE,
        "command": ["python", "-m", "http.server", "8080", "--directory", "/site"],
        "volumeMounts": [{"name": "site", "mountPath": "/site"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "site", "configMap": {"name": "site"}}],
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    ports = {"selector": labels, "ports": [{"port": 8080}]}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"index.html": PAGE}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
    ]


def pool(namespace: str, allowed: str) -> list[dict[str, Any]]:
    """A lane for each tool; ``allowed``: the one private address that may be called."""
    head = {"apiVersion": "taskfleet.dev/v1alpha1", "metadata": {"name": NAME, "namespace": namespace}}
    settings = {"network": {"allowedNetworks": [f"{allowed}/{128 if ':' in allowed else 32}"]}}
    endpoints = [
        {"name": name, "provider": "tools", "models": [lane], "concurrency": 2, "maxWorkers": 1, "tools": settings}
        for name, lane in LANES.items()
    ]
    template = {
        "image": TOOLS_IMAGE,
        "terminationGracePeriod": "5s",
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    }
    spec = {
        "queueRef": {"name": NAME},
        "endpoints": endpoints,
        "autoscaling": {"maxWorkers": 3, "scaleDownDelay": "5s", "scaleToZeroDelay": "20s"},
        "workerTemplate": template,
    }
    queue = {"models": [{"name": lane} for lane in LANES.values()], "taskTimeout": "60s"}
    return [{**head, "kind": "TaskQueue", "spec": queue}, {**head, "kind": "WorkerPool", "spec": spec}]


def in_parallel(namespace: str, urls: list[str]) -> dict[str, Any]:
    """A ParallelQueue that fetches pages and opens those that are there, with no model."""
    steps = [
        {"name": "load", "tool": "http", "arguments": {"url": "{{ $item }}"}, "onError": "continue"},
        {
            "name": "see",
            "tool": "headless-browser",
            "if": "{{ load.ok }}",
            "arguments": {"url": "{{ load.output.url }}"},
        },
    ]
    spec = {"queueRef": {"name": NAME}, "items": urls, "maxParallel": 4, "actionLoop": steps}
    meta = {"name": "pages", "namespace": namespace}
    return {"apiVersion": "taskfleet.dev/v1alpha1", "kind": "ParallelQueue", "metadata": meta, "spec": spec}


def submit(cluster: Cluster, namespace: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """A call that has ended, as ``taskfleet status`` tells of it."""
    task = f"{tool}-{secrets.token_hex(3)}"
    line = json.dumps({"id": task, "tool": tool, "arguments": arguments})
    cluster.taskfleet("submit", NAME, "-n", namespace, "-f", "-", stdin=line)

    def ended() -> dict[str, Any] | None:
        told = json.loads(cluster.taskfleet("status", task, "-q", NAME, "-n", namespace, "-o", "json"))
        return told if told["state"] in ("completed", "failed") else None

    return dict(wait_until(ended, f"the call of {tool} to end", timeout=240) or {})


def call(cluster: Cluster, namespace: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool told."""
    done = submit(cluster, namespace, tool, **arguments)
    assert done["state"] == "completed", done
    printed = cluster.taskfleet("result", done["id"], "-q", NAME, "-n", namespace, "-o", "json")
    return dict(json.loads(printed)["output"])


def test_pods_fetch_pages_open_them_in_a_browser_and_run_commands_once_they_may_have_a_sandbox(
    installed: Cluster, namespace: str
) -> None:
    if not TOOLS_IMAGE:
        pytest.skip("NO TOOLS IMAGE: TASKFLEET_E2E_TOOLS_IMAGE is to name one of docker build --target tools")
    cluster = installed
    cluster.apply(*site(namespace))
    cluster.kubectl("rollout", "status", "deployment/site", "-n", namespace, "--timeout=120s", seconds=130)
    address = str(cluster.get("service", "site", "-n", namespace)["spec"]["clusterIP"])
    cluster.apply(*pool(namespace, address))
    cluster.kubectl("wait", "--for=condition=Ready", f"tq/{NAME}", "-n", namespace, "--timeout=30s")
    url = "http://site:8080/"

    fetched = call(cluster, namespace, "http", url=url)
    assert (fetched["status"], fetched["body"]) == (200, PAGE)
    elsewhere = submit(cluster, namespace, "http", url="http://llm:8080/")
    assert elsewhere["error"]["code"] == "address_refused", elsewhere
    opened = call(cluster, namespace, "headless-browser", url=url, screenshot=True)
    assert (opened["title"], opened["text"].strip()) == ("made by script", "Some words.")
    assert opened["screenshot"]["base64"]
    cluster.apply(in_parallel(namespace, [url, f"{url}gone", f"{url}index.html"]))
    cluster.kubectl("wait", "--for=condition=Ended", "pq/pages", "-n", namespace, "--timeout=120s", seconds=130)
    lines = cluster.taskfleet("parallel", "results", "pages", "-q", NAME, "-n", namespace).splitlines()
    seen = [json.loads(line)["steps"] for line in lines]
    assert [(each["load"]["output"]["status"], each["see"]["skipped"]) for each in seen] == [
        (200, False),
        (404, True),
        (200, False),
    ]
    assert [each["see"]["output"]["title"] for each in seen if each["see"]["ok"]] == ["made by script"] * 2
    refused = submit(cluster, namespace, "terminal", command="id")
    assert refused["error"]["code"] == "no_sandbox", refused
    assert "set the pool's workerTemplate.seccompProfile" in refused["error"]["message"]
    print(f"\nunder RuntimeDefault: {refused['error']['message']}")

    allow_sandboxes(cluster, namespace)

    told = call(cluster, namespace, "terminal", command="sort; id -u; ls -A /tmp", stdin="b\na\n")
    assert (told["stdout"], told["exit_status"]) == ("a\nb\n65534\n", 0), told
    inside = call(cluster, namespace, "terminal", command="unshare --user true || echo refused")
    assert inside["stdout"] == "refused\n"
    killed = call(cluster, namespace, "terminal", command="sleep 100", timeout=1)
    assert killed["killed_by"] == "time"
    opened = call(cluster, namespace, "headless-browser", url=url)
    assert opened["title"] == "made by script"


def allow_sandboxes(cluster: Cluster, namespace: str) -> None:
    """Give the pool's pods another profile, and wait until all workers are of that kind."""
    profile = {"type": "Localhost", "localhostProfile": PROFILE} if PROFILE else {"type": "Unconfined"}
    if not PROFILE:
        cluster.kubectl("label", "namespace", namespace, RESTRICTED.partition("=")[0] + "-")
    patch = json.dumps({"spec": {"workerTemplate": {"seccompProfile": profile}}})
    cluster.kubectl("patch", "wp", NAME, "--type=merge", "-p", patch, "-n", namespace)

    def only_new() -> bool:
        pods = cluster.get("pods", "-l", f"taskfleet.dev/pool={NAME}", "-n", namespace) or {"items": []}
        shell = cluster.get("deployment", deployment_name(NAME, "shell"), "-n", namespace)
        profiles = [
            each["spec"]["securityContext"]["seccompProfile"] for each in (shell["spec"]["template"], *pods["items"])
        ]
        return all(each == profile for each in profiles)

    wait_until(only_new, "the workers to have the new profile", timeout=90)
