"""Taskfleet: a queue with default settings, and a worker process that is a loop over the store.

It claims up to 100 tasks, runs them, and settles them with their results while it claims the next, as every worker
does. Leases, fences, priorities, limits and wake-ups are those of every worker, too; there is no model to call.
"""

import asyncio
import os

import uvloop
from adapter import URL, began, main

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.controller.policy import queue_policy
from taskfleet.core.settlement import Settlement, Verdict, WorkerReport
from taskfleet.core.task import LeasedTask, NewTask, QueueKey, new_task_id
from taskfleet.store import Store, WakeListener

QUEUE = QueueKey("bench", "engine")
MODEL = "noop"
BATCH = 100
HEARTBEAT_SECONDS = 5.0  # a third of the default lease, as every worker beats

worker = f"worker-{os.getpid()}"


class Taskfleet:
    async def open(self) -> None:
        self._store = await Store.connect(URL)
        await self._store.put_policy(QUEUE, queue_policy(TaskQueueSpec.model_validate({"models": [{"name": MODEL}]})))

    async def enqueue(self, payload: str) -> None:
        await self._store.submit(QUEUE, [NewTask(new_task_id(), MODEL, payload.encode())])

    async def enqueue_many(self, payloads: list[str]) -> None:
        await self._store.submit(QUEUE, (NewTask(new_task_id(), MODEL, payload.encode()) for payload in payloads))

    def worker(self) -> None:
        uvloop.run(self._work())

    async def _work(self) -> None:
        await self.open()
        self._leases: dict[str, int] = {}
        async with self._store.listen([QUEUE]) as wakes, asyncio.TaskGroup() as group:
            group.create_task(self._keep_leases())
            await self._claim(wakes)

    async def _claim(self, wakes: WakeListener) -> None:
        settling: asyncio.Task[None] | None = None
        while True:
            claim = await self._store.claim(QUEUE, worker, [MODEL], BATCH)
            if claim.tasks:
                self._leases.update((task.id, task.fence) for task in claim.tasks)
                ends = [await run(task) for task in claim.tasks]
                if settling is not None:
                    await settling
                settling = asyncio.create_task(self._settle(ends))
                continue
            await wakes.wait(claim.next_due_in)

    async def _settle(self, ends: list[Settlement]) -> None:
        await self._store.settle(QUEUE, ends)
        for end in ends:
            del self._leases[end.task_id]

    async def _keep_leases(self) -> None:
        while True:
            report = WorkerReport(worker, "pool", "endpoint", BATCH, len(self._leases))
            await self._store.heartbeat(QUEUE, report, self._leases)
            await asyncio.sleep(HEARTBEAT_SECONDS)


async def run(task: LeasedTask) -> Settlement:
    if seconds := began(task.body.decode()):
        await asyncio.sleep(seconds)
    return Settlement(task.id, task.fence, Verdict.COMPLETE, output="done")


if __name__ == "__main__":
    main(Taskfleet())
