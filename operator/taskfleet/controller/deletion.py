"""What to do with a queue that someone deletes: nothing is lost unless they say so."""

from collections.abc import Collection
from dataclasses import dataclass

from taskfleet.core.names import DISCARD_ANNOTATION
from taskfleet.core.needs import count
from taskfleet.core.pool import Execution, StopPolicy
from taskfleet.core.settlement import QueueStats

_HOW_TO_DISCARD = f'to discard the tasks, annotate the queue: {DISCARD_ANNOTATION}="true"'


@dataclass(frozen=True, slots=True)
class Deletion:
    """``drop``: the queue's data may go now. Otherwise ``reason`` and ``message`` say what it waits for."""

    drop: bool
    reason: str = ""
    message: str = ""


def decide_deletion(
    stats: QueueStats | None,
    *,
    discard: bool,
    stop: StopPolicy,
    execution: Execution,
    unserved: Collection[str],
    pools: int,
) -> Deletion:
    """``stats`` None: the store holds nothing of the queue. ``unserved``: models with tasks that no endpoint serves."""
    if stats is None or discard:
        return Deletion(drop=True)
    waiting = stats.pending + stats.scheduled
    if waiting + stats.running == 0:
        return Deletion(drop=True)
    left = f"{count(waiting, 'task')} waiting and {stats.running} running"
    if waiting and stop is not StopPolicy.NONE:
        why = f"the queue's stopPolicy is {stop.value}; set it to None to finish them"
    elif waiting and stats.paused:
        why = f"the queue is {stats.pause}; `taskfleet resume` it to finish them"
    elif waiting and not pools and execution is Execution.WORKERS:
        why = "no WorkerPool serves this queue; create one to finish them"
    elif unserved:
        models = ", ".join(sorted(unserved))
        why = f"no endpoint of any WorkerPool serves {models}; add one to finish them"
    else:
        text = f"takes no new tasks; {left}; the queue goes when they are finished; {_HOW_TO_DISCARD}"
        return Deletion(drop=False, reason="Deleting", message=text)
    return Deletion(drop=False, reason="DeletionBlocked", message=f"{left}, but {why}; or, {_HOW_TO_DISCARD}")
