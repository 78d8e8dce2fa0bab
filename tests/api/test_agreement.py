"""What the offline validation accepts, the models parse; and nothing makes it fall over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.validate import validate
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.models import resolve_model
from tests.support.mutations import mutated


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_what_validate_accepts_is_complete_and_the_models_parse_it(seed: int) -> None:
    manifest = mutated(seed)
    validated = validate(manifest)
    if validated.problems:
        assert all(problem.text for problem in validated.problems)
        return
    again = validate(validated.manifest)
    assert again.manifest == validated.manifest
    assert not again.problems
    if manifest["kind"] == "TaskQueue":
        spec = TaskQueue.model_validate(validated.manifest).spec
        assert resolve_model(None, spec.offered, spec.default_lane) == spec.default_lane
        assert spec.retry_policy.initial_delay <= spec.retry_policy.max_delay
    elif manifest["kind"] == "ParallelQueue" and not isinstance(validated.manifest["spec"]["items"], list | str):
        with pytest.raises(ValidationError, match="must be a list, the path of a file, or an expression"):
            ParallelQueue.model_validate(validated.manifest)  # no schema can say list or text: its status says so
    elif manifest["kind"] == "ParallelQueue":
        assert ParallelQueue.model_validate(validated.manifest).spec.of_run().action_loop
    else:
        policy = WorkerPool.model_validate(validated.manifest).spec.policy
        assert policy.min_workers <= policy.max_workers
