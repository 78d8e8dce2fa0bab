"""The models on their own: values with units, plain data out, nothing unknown in."""

import pytest
from pydantic import ValidationError

from taskfleet.api.base import Duration, Quantity, Size
from taskfleet.api.endpoint import Endpoint
from taskfleet.api.status import EndpointStatus, TaskQueueStatus, WorkerPoolStatus
from taskfleet.api.taskqueue import Limits, Retry, TaskQueueSpec
from taskfleet.api.workerpool import WorkerPoolSpec
from taskfleet.api.workertemplate import Resources, WorkerTemplate
from taskfleet.core.pool import AutoscalingMode
from taskfleet.worker.drain import HAND_BACK_SECONDS

ENDPOINT = {"name": "local", "url": "http://llm:8080/v1", "models": ["smollm2"]}


def pool(**fields: object) -> WorkerPoolSpec:
    return WorkerPoolSpec.model_validate({"queueRef": {"name": "demo"}, "endpoints": [ENDPOINT], **fields})


def test_durations_and_sizes_know_their_value_and_stay_as_written() -> None:
    retry = Retry.model_validate({"initialDelay": "1m30s"})
    assert retry.initial_delay.seconds == 90
    assert retry.to_wire()["initialDelay"] == "1m30s"
    assert Limits.model_validate({"maxTaskBytes": 4096}).max_task_bytes.bytes == 4096
    assert Limits.model_validate({"maxTaskBytes": "4Ki"}).max_task_bytes == Size("4Ki")
    assert Resources.model_validate({"limits": {"cpu": 1, "memory": "1Gi"}}).limits == {
        "cpu": Quantity("1"),
        "memory": Quantity("1Gi"),
    }


@pytest.mark.parametrize("value", ["soon", "5 minutes", "", 30, None])
def test_what_is_no_duration_does_not_parse(value: object) -> None:
    with pytest.raises(ValidationError):
        Retry.model_validate({"initialDelay": value})


def test_an_unknown_field_does_not_parse() -> None:
    with pytest.raises(ValidationError, match="apiKey"):
        Endpoint.model_validate({**ENDPOINT, "apiKey": "sk-1"})


def test_an_endpoint_comes_back_from_its_wire_form() -> None:
    endpoint = Endpoint.model_validate({**ENDPOINT, "remoteNames": {"smollm2": "SmolLM2"}})
    assert Endpoint.model_validate(endpoint.to_wire()) == endpoint
    assert "apiKeySecretRef" not in endpoint.to_wire()


def test_a_pool_aims_at_a_minute_of_backlog_unless_told_otherwise() -> None:
    assert pool().policy.target.drain_seconds == 60
    assert pool(autoscaling={"targetDrainTime": "5m"}).policy.target.drain_seconds == 300
    assert pool(autoscaling={"targetBacklogPerWorker": 7}).policy.target.backlog_per_worker == 7


def test_planning_knows_the_mode_and_the_number_from_outside() -> None:
    assert pool().policy.mode is AutoscalingMode.OPERATOR
    from_outside = pool(replicas=3, autoscaling={"mode": "External"}).policy
    assert (from_outside.mode, from_outside.replicas) == (AutoscalingMode.EXTERNAL, 3)
    assert pool(autoscaling={"mode": "External"}).policy.replicas is None


def test_as_they_come_a_worker_that_goes_has_the_time_to_finish_any_call() -> None:
    grace = WorkerTemplate.model_validate({}).termination_grace_period.seconds
    assert grace - HAND_BACK_SECONDS > TaskQueueSpec.model_validate({"models": [{"name": "m"}]}).task_timeout.seconds


def test_a_status_leaves_out_what_is_not_known() -> None:
    status = WorkerPoolStatus(endpoints=[EndpointStatus(name="local")]).to_wire()
    assert status["endpoints"] == [
        {"name": "local", "workers": 0, "ready": 0, "inflight": 0, "tasksPerMinute": 0.0, "reason": "", "message": ""}
    ]
    assert "oldestPendingTime" not in TaskQueueStatus().to_wire()
    assert Duration("1s") == "1s"
