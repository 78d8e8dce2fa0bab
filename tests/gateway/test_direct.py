"""Calls that the gateway makes itself, and that are tasks of the queue all the same."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.task import TaskState
from taskfleet.gateway.service import GatewayOptions
from tests.gateway.conftest import Site, opened, working
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import quick_policy, stub_endpoint

ASKED = {"messages": [{"role": "user", "content": "Hi"}]}


class DirectSite:
    """A gateway in front of a queue whose rules a test sets; nobody works for it."""

    def __init__(self, site: Site, model: ModelStub) -> None:
        self.site = site
        self.model = model

    async def rules(self, online: str, *, endpoint: dict[str, Any] | None = None, **spec: Any) -> None:
        """Publish them as the controller does."""
        fields = stub_endpoint(self.model.url).to_wire() | (endpoint or {})
        policy = replace(
            quick_policy(online=online, **spec), endpoints=({"pool": "pool", "endpoint": fields},), served=("stub",)
        )
        await self.site.work.store.put_policy(self.site.queue, policy)

    async def ask(self, **more: Any) -> Any:
        return await self.site.post("/v1/chat/completions", ASKED, **more)


@pytest.fixture
def direct(options: GatewayOptions, work: Work, model: ModelStub, runner: asyncio.Runner) -> Iterator[DirectSite]:
    stack = AsyncExitStack()

    async def start() -> DirectSite:
        return DirectSite(await stack.enter_async_context(opened(options, work)), model)

    yield runner.run(start())
    runner.run(stack.aclose())


async def test_a_direct_call_needs_no_worker_and_is_a_task_like_any_other(direct: DirectSite) -> None:
    await direct.rules("Direct")
    answer = await direct.ask()
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "echo: Hi"
    assert answer.headers["taskfleet-endpoint"] == "stub"
    assert 0 <= float(answer.headers["taskfleet-queue-seconds"]) < 2
    (view,) = await direct.site.work.views([answer.headers["taskfleet-task"]])
    assert view.state is TaskState.COMPLETED
    assert view.worker is not None
    assert view.worker.startswith("gateway-")
    stats = await direct.site.work.store.stats(direct.site.queue)
    assert stats is not None
    assert (stats.completed, stats.pending, stats.scheduled, stats.running) == (1, 0, 0, 0)
    shown = (await direct.site.get("/metrics")).text
    assert 'taskfleet_task_attempts_total{endpoint="stub"' in shown
    assert shown.count("# TYPE taskfleet_store_up ") == 1


async def test_workers_leave_a_direct_call_to_the_gateway(direct: DirectSite, store_url: str) -> None:
    await direct.rules("Direct")
    async with working(store_url, direct.site.queue, direct.model.url):
        answers = await asyncio.gather(*(direct.ask() for _ in range(8)))
        tasks = await direct.site.work.views([answer.headers["taskfleet-task"] for answer in answers])
        assert {task.worker.split("-")[0] for task in tasks if task.worker} == {"gateway"}
        (task_id,) = await direct.site.work.submit("for workers")
        (task,) = await direct.site.work.finished([task_id])
        assert task.worker == "worker"


async def test_a_direct_stream_comes_piece_by_piece(direct: DirectSite) -> None:
    await direct.rules("Direct")
    direct.model.chunk_latency = 0.03
    stream = await direct.site.openai.chat.completions.create(model="stub", messages=ASKED["messages"], stream=True)
    said = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "".join(piece or "" for piece in said) == "echo: Hi"
    assert len(said) > 2


async def test_a_direct_call_is_tried_again_as_the_queue_says(direct: DirectSite) -> None:
    await direct.rules("Direct")
    direct.model.set_fault("500", times=1)
    answer = await direct.ask()
    assert answer.status_code == 200, answer.text
    assert len(direct.model.requests) == 2
    direct.model.set_fault("400-openai", times=1)
    refused = await direct.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")


async def test_direct_calls_keep_to_the_limit_that_workers_share(direct: DirectSite, work: Work) -> None:
    await direct.rules("Direct", endpoint={"rateLimit": {"requestsPerMinute": 2}})
    first = await asyncio.gather(*(direct.ask(headers={"Prefer": "wait=5"}) for _ in range(2)))
    assert [answer.status_code for answer in first] == [200, 200]
    later = await direct.ask(headers={"Prefer": "wait=1"})
    assert later.status_code == 202
    assert len(direct.model.requests) == 2
    (task,) = await work.views([later.json()["id"]])
    assert task.state is TaskState.PENDING


async def test_direct_calls_run_as_many_at_once_as_a_worker_would(direct: DirectSite) -> None:
    await direct.rules("Direct", endpoint={"concurrency": 2})
    direct.model.hold()
    asking = asyncio.gather(*(direct.ask() for _ in range(6)))
    await eventually(lambda: len(direct.model.requests) == 2, "two calls to begin")
    stats = await direct.site.work.store.stats(direct.site.queue)
    assert stats is not None
    assert (stats.running, stats.scheduled, len(direct.model.requests)) == (2, 4, 2)
    direct.model.let_go()
    assert {answer.status_code for answer in await asking} == {200}


async def test_a_client_that_goes_away_frees_the_slot_of_its_direct_call(direct: DirectSite) -> None:
    await direct.rules("Direct", endpoint={"concurrency": 1})
    direct.model.hold()
    asking = asyncio.create_task(direct.ask())
    await eventually(lambda: direct.model.requests, "the call to begin")
    asking.cancel()
    next_one = asyncio.create_task(direct.ask(timeout=60))
    await eventually(lambda: len(direct.model.requests) == 2, "the next call to begin", timeout=10)
    direct.model.let_go()
    answer = await next_one
    assert answer.status_code == 200


async def test_auto_goes_through_the_queue_while_a_worker_is_ready_and_direct_when_none_is(
    direct: DirectSite, store_url: str
) -> None:
    await direct.rules("Auto")
    alone = await direct.ask()
    async with working(store_url, direct.site.queue, direct.model.url):

        async def seen() -> bool:
            return any(not report.gateway for report in await direct.site.work.store.workers(direct.site.queue))

        await eventually(seen, "the worker to be heard")

        async def by_the_worker() -> Any:
            """The gateway looks at its queues once a second."""
            answer = await direct.ask()
            (task,) = await direct.site.work.views([answer.headers["taskfleet-task"]])
            return answer if task.worker == "worker" else None

        together = await eventually(by_the_worker, "calls to go through the queue")
    afterwards = await direct.ask()
    tasks = await direct.site.work.views([answer.headers["taskfleet-task"] for answer in (alone, together, afterwards)])
    assert [str(task.worker).split("-")[0] for task in tasks] == ["gateway", "worker", "gateway"]


async def test_auto_takes_over_what_the_last_worker_left_waiting(direct: DirectSite, store_url: str) -> None:
    await direct.rules("Auto")
    direct.model.hold()
    async with working(store_url, direct.site.queue, direct.model.url, concurrency=1):
        await direct.site.work.submit("busy")
        await eventually(lambda: direct.model.requests, "the worker to be busy")
        asking = asyncio.create_task(direct.ask())

        async def waits() -> bool:
            stats = await direct.site.work.store.stats(direct.site.queue)
            return stats is not None and stats.pending == 1

        await eventually(waits, "the call to wait for the worker")
    direct.model.let_go()
    answer = await asking
    (task,) = await direct.site.work.views([answer.headers["taskfleet-task"]])
    assert str(task.worker).startswith("gateway-")


async def test_an_endpoint_whose_key_is_not_here_is_left_to_the_workers(direct: DirectSite) -> None:
    await direct.rules("Direct", endpoint={"apiKeySecretRef": {"name": "llm-key", "key": "token"}})
    answer = await direct.ask(headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert not direct.model.requests
    assert answer.headers["taskfleet-queue-position"] == "1"


async def test_a_paused_queue_calls_nothing(direct: DirectSite) -> None:
    await direct.rules("Direct")
    await direct.site.work.store.pause(direct.site.queue)
    answer = await direct.ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_served")
    assert not direct.model.requests
