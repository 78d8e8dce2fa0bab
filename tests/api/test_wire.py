"""What is said over HTTP comes back as what it was, whichever side reads it."""

from typing import Any

import orjson
import pytest

from taskfleet.api.taskobjects import task_object, task_view
from taskfleet.api.workobjects import claim_of, lease_end, leased_object, pieces, report_fields
from taskfleet.api.worksaid import Beat, LeaseEnds, SaidPublications, read
from taskfleet.core.events import Progress, Publication
from taskfleet.core.settlement import Settlement, Turn, Verdict, WorkerReport
from taskfleet.core.task import Attempt, LeasedTask, Priority, QueueKey, TaskError, TaskState, TaskView, Usage

QUEUE = QueueKey("default", "demo")
ERROR = TaskError("timeout", "too slow", 504)

VIEWS = {
    "completed": TaskView(
        *("t", TaskState.COMPLETED, "small", Priority.HIGH, 2, 1_764_000_000.0),
        output={"content": "x", "list": [1, None]},
        endpoint="gpu",
        worker="w",
        usage=Usage(3, 4),
        queue_seconds=0.125,
        run_seconds=1.5,
        history=(Attempt(1, "v", None, 1_764_000_001.0, 1_764_000_002.0, ERROR),),
        batch="b",
        tenant="gold",
        session="s",
        deadline=1_764_009_000.0,
        metadata={"row": 1},
        requested_model="large",
    ),
    "running": TaskView(
        *("t", TaskState.RUNNING, "small", Priority.LOW, 1, 1_764_000_000.0),
        worker="w",
        requested_model="small",
        progress=Progress(None, "nearly"),
    ),
    "waiting": TaskView(
        *("t", TaskState.PENDING, "small", Priority.NORMAL, 1, 1_764_000_000.0),
        error=ERROR,
        not_before=1_764_000_100.0,
        requested_model="small",
    ),
}
SETTLEMENTS = [
    Settlement("t", 3, Verdict.COMPLETE, output="x", usage=Usage(1, 2), endpoint="gpu", model="m", run_seconds=0.25),
    Settlement("t", 3, Verdict.COMPLETE, output=None),
    Settlement("t", 3, Verdict.COMPLETE, output="x", turn=Turn(b'[{"role":"user","content":"\xc3\xa4"}]', 2)),
    Settlement("t", 3, Verdict.RETRY, delay=1.5, error=ERROR),
    Settlement("t", 3, Verdict.RELEASE),
]


def sent(said: Any) -> Any:
    """As the other side gets it."""
    return orjson.loads(orjson.dumps(said))


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_task(view: TaskView) -> None:
    assert task_view(sent(task_object(QUEUE, view))) == view


@pytest.mark.parametrize("settlement", SETTLEMENTS)
def test_the_end_of_a_lease(settlement: Settlement) -> None:
    (end,) = read(LeaseEnds, sent({"ends": [lease_end(settlement)]})).ends
    assert end.as_settlement() == settlement


def test_a_lease() -> None:
    body = b'{"messages":[{"role":"user","content":"x"}],"parameters":{},"metadata":{"row":1}}'
    lease = LeasedTask(
        *("t", "small", body, Priority.CRITICAL, 7, 2, 1_764_000_000.125, 1_764_000_001.5),
        session="s",
        batch="b",
        tenant="gold",
        deadline=1_764_009_000.0,
        metadata={"row": 1},
    )
    answer = {"data": [leased_object(lease)], "next_due_in": 0.5, "policy_version": 3, "stopped": False}
    claim = claim_of(sent(answer))
    assert claim.tasks == (lease,)
    assert (claim.next_due_in, claim.policy_version, claim.stopped) == (0.5, 3, False)


def test_pieces_of_an_answer() -> None:
    told = Publication("t", 3, 2, [b'{"choices":[]}'], {"model": "m"})
    (said,) = read(SaidPublications, sent({"publications": [pieces(told)]})).publications
    assert said.as_publication() == told


def test_a_report() -> None:
    report = WorkerReport(
        "w", "pool", "gpu", 4, 2, seconds_per_task=0.5, models=("a", "b"), trouble="down", process="p"
    )
    beat = read(Beat, sent({"worker": "w", "leases": {"t": 1}, "report": report_fields(report)}))
    assert beat.as_report() == report
