"""`explain`: which model a name means, as a person and as a script reads it."""

import pytest

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.controller.policy import queue_policy
from taskfleet.core.chronicle import Chronicle, Decision
from tests.cli.conftest import Remote
from tests.support.commands import Taskfleet


def test_a_name_is_explained_in_a_sentence_and_for_scripts(remote: Remote, taskfleet: Taskfleet) -> None:
    said = taskfleet("explain", "model", "fast", "-q", remote.name)
    assert said.code == 0
    assert said.out == "fast means small: fast is an alias of small\n"
    answer = taskfleet("explain", "model", "small", "-q", remote.name, "-o", "json").json
    assert answer == {
        "queue": remote.name,
        "asked": "small",
        "model": "small",
        "step": "name",
        "why": "it is the name of small",
        "fallbacks": [],
        "served_by": "small",
    }


def test_a_name_that_means_nothing_is_refused_as_a_task_would_be(remote: Remote, taskfleet: Taskfleet) -> None:
    said = taskfleet("explain", "model", "gpt-9", "-q", remote.name)
    assert said.code == 2
    assert "model: 'gpt-9' is not offered by this queue; it offers: small" in said.err


def test_a_queue_that_is_not_there_is_said(remote: Remote, taskfleet: Taskfleet) -> None:
    assert taskfleet("explain", "model", "fast", "-q", "nowhere").code == 4


def test_the_chain_of_fallbacks_is_shown_and_who_serves_now(remote: Remote, taskfleet: Taskfleet) -> None:
    models = [{"name": "large", "fallbacks": ["medium", "small"]}, {"name": "medium"}, {"name": "small"}]
    policy = queue_policy(TaskQueueSpec.model_validate({"models": models}), fallbacks={"large": "small"})
    remote.ask(lambda store: store.put_policy(remote.key, policy))
    said = taskfleet("explain", "model", "large", "-q", remote.name)
    assert said.out == (
        "large means large: it is the name of large\n"
        "while no endpoint of large is healthy: medium, else small\n"
        "now served by small\n"
    )
    answer = taskfleet("explain", "model", "large", "-q", remote.name, "-o", "json").json
    assert (answer["fallbacks"], answer["served_by"]) == (["medium", "small"], "small")


def told(remote: Remote) -> None:
    """What a controller would have said of the queue, of a pool and of its endpoint."""
    served = {"type": "Served", "status": "False", "reason": "ModelNotServed", "message": "no endpoint serves it"}
    endpoint = {"name": "gpu", "healthy": True, "workers": 3, "ready": 2, "inflight": 5, "message": "12 waiting tasks"}
    said = {
        ("TaskQueue", remote.key.name): {"conditions": [served]},
        ("WorkerPool", "pool"): {
            "endpoints": [endpoint, {"name": "cpu", "workers": 1, "inflight": 1}],
            "conditions": [],
        },
    }
    decisions = [
        Decision(1.0, "WorkerPool", "pool", "ScaledUp", "gpu from 0 to 3 workers: 12 waiting tasks"),
        Decision(0.0, "TaskQueue", remote.key.name, "Paused", "paused \x1b[31m"),
    ]
    remote.ask(lambda store: store.record(remote.key, Chronicle(said, decisions)))


def test_a_queue_is_explained(remote: Remote, taskfleet: Taskfleet) -> None:
    told(remote)
    said = taskfleet("explain", "queue", remote.name)
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"queue {remote.name}\n"
        "  0 waiting, 0 for a later time, 0 running, 0 failed\n"
        "  nothing waits\n"
        "  Served is False: no endpoint serves it (ModelNotServed)\n"
        "  pool pool: gpu (healthy) has 3 workers, 2 ready, 5 tasks in flight: 12 waiting tasks\n"
        "  pool pool: cpu (not probed yet) has 1 worker, 0 ready, 1 task in flight: nothing was decided yet\n"
        "  the last decisions, newest first:\n"
        "    1970-01-01T00:00:01Z pool pool: gpu from 0 to 3 workers: 12 waiting tasks (ScaledUp)\n"
        f"    1970-01-01T00:00:00Z queue {remote.key.name}: paused \\x1b[31m (Paused)\n"
    )


def test_a_pool_and_an_endpoint_are_explained(remote: Remote, taskfleet: Taskfleet) -> None:
    told(remote)
    gpu = "gpu (healthy) has 3 workers, 2 ready, 5 tasks in flight: 12 waiting tasks"
    assert gpu in taskfleet("explain", "pool", "pool", "-q", remote.name).out
    for name in ("gpu", "pool/gpu"):
        answer = taskfleet("explain", "endpoint", name, "-q", remote.name, "-o", "json").json
        assert answer["about"] == f"endpoint {name}"
        assert answer["lines"] == [
            gpu,
            "the last decisions, newest first:",
            "1970-01-01T00:00:01Z pool pool: gpu from 0 to 3 workers: 12 waiting tasks (ScaledUp)",
        ]


@pytest.mark.parametrize("what", [("pool", "other"), ("endpoint", "other"), ("endpoint", "other/gpu")])
def test_what_no_controller_tells_of_is_not_found(remote: Remote, taskfleet: Taskfleet, what: tuple[str, str]) -> None:
    told(remote)
    said = taskfleet("explain", *what, "-q", remote.name)
    assert said.code == 4
    assert f"no controller tells of {what[0]} {what[1]!r} in {remote.name}" in said.err


def test_a_task_is_explained_while_it_waits_and_when_it_has_ended(remote: Remote, taskfleet: Taskfleet) -> None:
    for name in ("first", "second"):
        assert taskfleet("submit", remote.name, "Hi", "--id", name).code == 0
    said = taskfleet("explain", "task", "second", "-q", remote.name)
    assert said.out.splitlines()[:3] == [
        f"task second in {remote.name} is pending",
        "  about 1 task before it",
        "  no pool has a worker that is ready",
    ]
    assert "  2 waiting (2 normal), 0 for a later time, 0 running, 0 failed" in said.out.splitlines()
    taskfleet("cancel", "first", "-q", remote.name)
    ended = taskfleet("explain", "task", "first", "-q", remote.name)
    assert ended.out == f"task first in {remote.name} is cancelled\n  it is cancelled; nothing will change that\n"
