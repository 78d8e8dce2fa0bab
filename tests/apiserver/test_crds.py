"""The custom resources on a real API server: they refuse what is wrong in our words, and read well in kubectl."""

import json
import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskfleet.api.documents import read_documents
from taskfleet.api.status import (
    Cause,
    EndpointStatus,
    ParallelQueueStatus,
    StepCounts,
    TaskQueueStatus,
    WorkerPoolStatus,
)
from taskfleet.api.validate import validate
from tests.support.apiserver import ApiServer
from tests.support.brokenmanifests import BROKEN, GOOD, NOT_YAML, SAMPLES, expected, said_by_kubectl, texts
from tests.support.mutations import mutated, our_objects

EXPECTED = expected()
MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"


@pytest.mark.parametrize("path", [path for path in BROKEN if path.name not in NOT_YAML], ids=lambda path: path.stem)
def test_a_broken_manifest_is_refused_with_the_text_in_the_table(crds: ApiServer, path: Path) -> None:
    applied = crds.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", str(path))
    assert applied.returncode != 0
    assert said_by_kubectl(applied.stderr) == texts(EXPECTED[path.name])


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_manifest_is_accepted_and_stored_as_the_offline_validation_completes_it(
    crds: ApiServer, namespace: str, path: Path
) -> None:
    crds.kubectl("apply", "--validate=strict", "-n", namespace, "-f", str(path), check=True)
    for manifest in our_objects(path):
        stored = crds.get(manifest["kind"], manifest["metadata"]["name"], "-n", namespace)
        assert stored["spec"] == validate(manifest).manifest["spec"]


def test_the_samples_are_accepted_as_they_are_but_for_what_is_kedas_to_install(crds: ApiServer, namespace: str) -> None:
    applied = crds.kubectl("apply", "--validate=strict", "-n", namespace, "-f", str(SAMPLES[0].parent))
    assert said_by_kubectl(applied.stderr) == {'no matches for kind "ScaledObject" in version "keda.sh/v1alpha1"'}
    ours = [manifest for path in SAMPLES for manifest in our_objects(path)]
    stored = crds.get("tq,wp", "-n", namespace)["items"]
    assert {(each["kind"], each["metadata"]["name"]): each["spec"] for each in stored} == {
        (each["kind"], each["metadata"]["name"]): validate(each).manifest["spec"] for each in ours
    }
    assert len(applied.stdout.splitlines()) == sum(len(list(read_documents(each.read_text()))) for each in SAMPLES) - 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_the_offline_validation_says_of_any_manifest_what_the_server_says(crds: ApiServer, seed: int) -> None:
    manifest = _as_json(mutated(seed))
    assert {_short(problem.text) for problem in validate(manifest).problems} == _said(crds, manifest)


def test_a_new_object_has_every_default_in_its_spec(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "queue-minimal.yaml"), check=True)
    assert crds.get("tq", "minimal", "-n", namespace)["spec"] == {
        "models": [{"name": "smollm2", "description": ""}],
        "retry": {"maxAttempts": 5, "initialDelay": "1s", "maxDelay": "60s", "multiplier": 2, "jitter": 0.2},
        "taskTimeout": "120s",
        "leaseDuration": "15s",
        "taskTTL": "24h",
        "limits": {"maxPending": 1000000, "maxTaskBytes": "1Mi"},
        "retention": {"results": "24h", "failed": "168h"},
        "stopPolicy": "None",
        "execution": "Workers",
        "online": "Queue",
        "sessions": {"context": "None", "maxContextTokens": 4000},
        "partitions": 1,
    }


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("tq.spec.retry", ["exponential backoff|What happens after a failed attempt", "maxAttempts", "5 when not set"]),
        ("tq.spec.taskTimeout", ["Longest time of one attempt, a duration from 100ms to 24h", "120s when not set"]),
        ("wp.spec.endpoints.url", ["Base URL, such as http://vllm:8000/v1"]),
        ("wp.spec.autoscaling.mode", ["ENUM", "Operator", "External"]),
        ("pq.spec.items", ["The items: a list, an expression in double braces"]),
        ("pq.spec.actionLoop.onError", ["ENUM", "continue", "skip when not set"]),
        ("tq.status.oldestPendingTime", ["When the oldest pending task was submitted"]),
    ],
)
def test_kubectl_explain_reads_like_documentation(crds: ApiServer, field: str, said: list[str]) -> None:
    text = " ".join(crds.kubectl("explain", field, check=True).stdout.split())
    for words in said:
        assert re.search(words, text), text


def test_the_partitions_of_a_queue_cannot_change(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "queue-full.yaml"), check=True)

    def patched(partitions: str) -> str:
        patch = f'{{"spec": {{"partitions": {partitions}}}}}'
        return crds.kubectl("patch", "tq", "full", "-n", namespace, "--type=merge", "-p", patch).stderr

    assert patched("4") == ""
    for other in ("5", "null"):
        assert "partitions cannot change, since tasks are found where their number of partitions puts" in patched(other)


def test_kubectl_get_shows_a_queue_in_numbers(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "queue-minimal.yaml"), check=True)
    status = TaskQueueStatus(
        pending=12,
        running=3,
        failed=1,
        oldest_pending_time="2020-01-01T00:00:00Z",
        conditions=[_condition("Ready", "True", "Serving")],
    )
    _write_status(crds, namespace, "tq", "minimal", status.to_wire())
    header, row = _table(crds, namespace, "tq")
    assert header == ["NAME", "PENDING", "RUNNING", "FAILED", "OLDEST", "READY", "AGE"]
    assert row[:4] == ["minimal", "12", "3", "1"]
    assert re.fullmatch(r"\d+y(\d+d)?", row[4]), "the oldest task's age, counted by kubectl"
    assert row[5] == "True"


def test_kubectl_get_shows_a_pool_and_why_it_is_as_it_is(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "pool-minimal.yaml"), check=True)
    status = WorkerPoolStatus(
        desired_replicas=4,
        ready_replicas=2,
        endpoints=[EndpointStatus(name="local", healthy=True, workers=4, ready=2)],
        conditions=[_condition("Ready", "False", "WorkersStarting")],
    )
    _write_status(crds, namespace, "wp", "minimal", status.to_wire())
    header, row = _table(crds, namespace, "wp")
    assert header == ["NAME", "QUEUE", "MODE", "DESIRED", "READY", "REASON", "AGE"]
    assert row[:6] == ["minimal", "minimal", "Operator", "4", "2", "WorkersStarting"]


def test_the_category_lists_both_kinds(crds: ApiServer, namespace: str) -> None:
    for name in ("queue-minimal", "pool-minimal"):
        crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / f"{name}.yaml"), check=True)
    listed = crds.kubectl("get", "taskfleet", "-n", namespace, "-o", "name", check=True).stdout.split()
    assert listed == ["taskqueue.taskfleet.dev/minimal", "workerpool.taskfleet.dev/minimal"]


def test_scale_writes_the_replicas_of_an_external_pool_and_reads_its_workers(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "pool-external.yaml"), check=True)
    status = WorkerPoolStatus(replicas=2, selector="taskfleet.dev/pool=external")
    _write_status(crds, namespace, "wp", "external", status.to_wire())
    crds.kubectl("scale", "wp/external", "--replicas=7", "-n", namespace, check=True)
    scale = _read(crds, f"/apis/taskfleet.dev/v1alpha1/namespaces/{namespace}/workerpools/external/scale")
    assert scale["spec"] == {"replicas": 7}
    assert scale["status"] == {"replicas": 2, "selector": "taskfleet.dev/pool=external"}


def test_scale_is_refused_for_a_pool_that_the_operator_scales(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "pool-minimal.yaml"), check=True)
    scaled = crds.kubectl("scale", "wp/minimal", "--replicas=7", "-n", namespace)
    words = "replicas counts only when autoscaling.mode is External or HPA; set one of these or remove replicas"
    assert words in scaled.stderr


def test_a_write_of_the_spec_leaves_the_status_and_the_other_way_round(crds: ApiServer, namespace: str) -> None:
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / "queue-minimal.yaml"), check=True)
    _write_status(crds, namespace, "tq", "minimal", TaskQueueStatus(pending=5).to_wire())
    before = crds.get("tq", "minimal", "-n", namespace)
    crds.kubectl(
        "patch", "tq/minimal", "-n", namespace, "--type=merge", "-p", '{"spec": {"stopPolicy": "Hold"}, "status": {}}'
    )
    after = crds.get("tq", "minimal", "-n", namespace)
    assert after["status"]["pending"] == 5
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


@pytest.mark.parametrize("kind", ["taskqueues", "workerpools", "parallelqueues"])
def test_every_field_of_the_status_models_is_kept_by_the_server(crds: ApiServer, namespace: str, kind: str) -> None:
    manifest = {"taskqueues": "queue-minimal", "workerpools": "pool-minimal", "parallelqueues": "parallel-minimal"}[
        kind
    ]
    crds.kubectl("apply", "-n", namespace, "-f", str(MANIFESTS / "good" / f"{manifest}.yaml"), check=True)
    conditions = [_condition("Ready", "Unknown", "Starting")]
    endpoint = EndpointStatus(name="local", healthy=False, latency_seconds=1.5, tasks_per_minute=3.25, reason="Idle")
    now = "2026-01-01T00:00:00Z"
    steps, causes = [StepCounts(name="ask", ok=3, failed=1)], [Cause(cause="server_error: 500", items=1)]
    status = {
        "taskqueues": TaskQueueStatus(oldest_pending_time=now, pools=["minimal"], conditions=conditions),
        "workerpools": WorkerPoolStatus(endpoints=[endpoint], last_scale_time=now, conditions=conditions),
        "parallelqueues": ParallelQueueStatus(
            total=4, steps=steps, causes=causes, start_time=now, conditions=conditions
        ),
    }[kind].to_wire()
    _write_status(crds, namespace, kind, "minimal", status)
    assert crds.get(kind, "minimal", "-n", namespace)["status"] == status


def _condition(kind: str, status: str, reason: str) -> Any:
    now = "2026-01-01T00:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": "as it is", "lastTransitionTime": now}


def _write_status(server: ApiServer, namespace: str, kind: str, name: str, status: dict[str, Any]) -> None:
    patch = json.dumps({"status": status})
    server.kubectl(
        "patch", kind, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch, check=True
    )


def _table(server: ApiServer, namespace: str, kind: str) -> tuple[list[str], list[str]]:
    header, row = server.kubectl("get", kind, "-n", namespace, check=True).stdout.splitlines()
    return header.split(), row.split()


def _as_json(value: Any) -> Any:
    """As it comes out of a file: 5.0 is the integer 5."""
    (document,) = read_documents(json.dumps(value))
    return document.value


def _short(text: str) -> str:
    """A problem without the name of its object."""
    match = re.fullmatch(r'The \w+ "[^"]*" is invalid: (.*)', text, re.DOTALL)
    return match[1] if match else text.rpartition("strict decoding error: ")[2]


def _said(server: ApiServer, manifest: dict[str, Any]) -> set[str]:
    """Every problem that the API server itself names when the object is to be created."""
    plural = f"{manifest['kind'].lower()}s"
    path = f"/apis/taskfleet.dev/v1alpha1/namespaces/default/{plural}?dryRun=All&fieldValidation=Strict"
    answer = _read(server, path, manifest)
    if answer["kind"] != "Status":
        return set()
    if answer["reason"] == "BadRequest":
        return set(re.findall(r'unknown field "[^"]*"', answer["message"]))
    return {f"{cause['field']}: {cause['message']}" for cause in answer["details"]["causes"]}


def _read(server: ApiServer, path: str, body: dict[str, Any] | None = None) -> Any:
    """One request as the administrator, over the client certificate of the kubeconfig."""
    pki = server.folder / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)
