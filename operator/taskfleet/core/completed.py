"""What the store shows of a task that completes, for the worker that completes it: nobody has to ask. Pure."""

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import LeasedTask, TaskState, TaskView


def completed_view(task: LeasedTask, end: Settlement, worker: str) -> TaskView | None:
    """The task as the store has it once it has taken ``end``; None where it knows more, or may decide otherwise.

    It knows more of one that was claimed before (its earlier attempts), and how it keeps an output that is no text.
    """
    if end.verdict is not Verdict.COMPLETE or task.fence != 1 or not isinstance(end.output, str):
        return None
    return TaskView(
        id=task.id,
        state=TaskState.COMPLETED,
        model=end.model or task.model,
        requested_model=task.model,
        priority=task.priority,
        attempts=1,
        enqueued_at=task.enqueued_at,
        output=end.output,
        endpoint=end.endpoint or None,
        worker=worker,
        usage=end.usage,
        queue_seconds=round(task.claimed_at - task.enqueued_at, 3),
        run_seconds=end.run_seconds or None,
        batch=task.batch,
        tenant=task.tenant,
        session=task.session,
        deadline=task.deadline,
        metadata=task.metadata,
    )
