"""A runner's hold on tasks: it claims them, hands them out, and keeps its leases as long as it lives."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from taskfleet.api.taskqueue import published_spec
from taskfleet.cli.handout import handout
from taskfleet.cli.output import Output
from taskfleet.cli.target import Target
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import InvalidTask, StoreError
from taskfleet.core.settlement import Claim, Settlement, Verdict, WorkerReport
from taskfleet.core.task import LeasedTask, QueueKey, TaskError
from taskfleet.store import Store

AT_ONCE = 100
RENEWED_AT_ONCE = 500


class Runner:
    """One queue's tasks in the hands of ``worker``. A claim is made under the queue's own short lease and made longer
    before anything is printed: whoever is killed in between has the task back in the queue soon. ``models`` are those
    whose tasks it takes."""

    def __init__(
        self, store: Store, queue: QueueKey, output: Output, *, worker: str, lease_seconds: float, models: Sequence[str]
    ) -> None:
        self.handed_out = 0
        self.models = models
        self._store = store
        self._queue = queue
        self._output = output
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._held: dict[str, int] = {}

    @property
    def held(self) -> int:
        return len(self._held)

    async def take(self, count: int) -> Claim:
        """Claim up to ``count`` tasks and hand them out. What could not be printed goes back at once."""
        claim = await self._store.claim(self._queue, self._worker, self.models, count)
        waiting = {task.id: task for task in claim.tasks}
        try:
            lost = await self._renew({task.id: task.fence for task in claim.tasks}) if claim.tasks else ()
            for task in claim.tasks:
                if task.id not in lost:
                    await self._hand_out(task)
                del waiting[task.id]
        except BaseException:
            await to_its_end(self._give_back(waiting.values()))
            raise
        return claim

    async def renew(self) -> None:
        """Keep what is held; what was ended meanwhile is held no longer, and what was cancelled is let go."""
        held = list(self._held.items())
        for first in range(0, max(1, len(held)), RENEWED_AT_ONCE):
            lost = sorted(await self._renew(dict(held[first : first + RENEWED_AT_ONCE])))
            for name, view in zip(lost, await self._store.get(self._queue, lost), strict=True):
                self._held.pop(name, None)
                if view is not None and not view.state.is_final:
                    self._output.remark(f"task {name} is no longer ours, its lease ended: stop working on it")

    async def leave(self) -> None:
        """No longer count as a worker that is there; what is held stays claimed until its lease ends."""
        with suppress(StoreError):  # then it is forgotten when it has been silent for a lease
            await self._store.retire(self._queue, self._worker)

    async def _renew(self, leases: Mapping[str, int]) -> Collection[str]:
        """Make leases longer. Gives those that are no longer ours; a cancelled task is ended and is one of them."""
        report = WorkerReport(self._worker, pool="", endpoint="", slots=len(self._held), inflight=len(self._held))
        beat = await self._store.heartbeat(self._queue, report, leases, lease_seconds=self._lease_seconds)
        for name in beat.cancelled:
            await self._store.settle(self._queue, [Settlement(name, leases[name], Verdict.CANCEL)])
            self._output.remark(f"task {name} was cancelled: stop working on it")
        return beat.lost | beat.cancelled

    async def _hand_out(self, task: LeasedTask) -> None:
        until = task.claimed_at + self._lease_seconds
        try:
            card = handout(self._queue, task, worker=self._worker, until=until)
        except InvalidTask as error:
            trouble = TaskError(error.code, str(error))
            await self._store.settle(self._queue, [Settlement(task.id, task.fence, Verdict.FAIL, error=trouble)])
            self._output.remark(f"task {task.id} cannot be handed out and has failed: {error}")
            return
        self._output.result(card.fields, card.text.removesuffix("\n"))
        self._held[task.id] = task.fence
        self.handed_out += 1

    async def _give_back(self, unseen: Collection[LeasedTask]) -> None:
        ends = [Settlement(task.id, task.fence, Verdict.RELEASE) for task in unseen]
        with suppress(StoreError):  # then they come back when the queue's lease ends
            await self._store.settle(self._queue, ends)


async def models_of(store: Store, target: Target, queue: QueueKey) -> list[str]:
    """Those that the queue offers, and those that tasks still wait for. Raises NotFound without such a queue."""
    policy, stats = await store.policy(queue), await store.stats(queue)
    if policy is None or stats is None:
        raise target.no_queue(queue)
    offered = (model.name for model in published_spec(policy, queue).offered)
    return list(dict.fromkeys((*offered, *stats.backlog)))
