"""A rate limit seen from the queue: shared by all workers, waited for with nothing in hand, settled by real usage."""

import asyncio
import signal
from contextlib import ExitStack

from taskfleet.core.ratelimit import RateLimits, Reservation, Returned
from taskfleet.core.settlement import WorkerReport
from taskfleet.core.task import TaskState
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process
from tests.worker.test_metrics import scrape, value

ENDPOINT = "pool/stub"


async def counted(work: Work, **limits: int) -> Reservation:
    """What the store counts now."""
    return await work.store.reserve(work.queue, ENDPOINT, RateLimits(**limits))


async def all_wait(work: Work, workers: int) -> list[WorkerReport]:
    async def found() -> list[WorkerReport]:
        reports = await work.store.workers(work.queue)
        return reports if len(reports) == workers and all(report.waits for report in reports) else []

    return await eventually(found, f"{workers} workers to say that they wait")


async def test_three_workers_start_no_more_calls_than_one_would_and_hold_no_task_meanwhile(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="1s", retry={"maxAttempts": 1})
    limited = {"rateLimit": {"requestsPerMinute": 7}}
    with ExitStack() as workers:
        processes = [
            workers.enter_context(worker_process(store_url, work.queue, model.url, endpoint=limited)) for _ in range(3)
        ]
        for process in processes:
            await process.says("working")
        ids = await work.submit(*(f"task-{number}" for number in range(20)))
        await eventually(lambda: model.answered.total() == 7, "the limit to be used up")
        reports = await all_wait(work, 3)
        states = await work.states(ids)
        attempts = {view.attempts for view in await work.views(ids) if view.state is TaskState.PENDING}
        calls = model.calls.total()
    assert {(report.waits, report.trouble, report.inflight) for report in reports} == {
        ("its limit of 7 requests a minute is used up", "", 0)
    }
    assert (calls, states, attempts) == (7, {"completed": 7, "pending": 13}, {0})


async def test_a_limit_that_has_room_again_lets_the_rest_run(work: Work, model: ModelStub, store_url: str) -> None:
    """The room comes from another worker that gives back: a minute is too long for a test."""
    await work.open()
    limits = RateLimits(requests=3)
    held = await work.store.reserve(work.queue, ENDPOINT, limits, [0, 0])
    with worker_process(store_url, work.queue, model.url, endpoint={"rateLimit": {"requestsPerMinute": 3}}):
        ids = await work.submit("a", "b", "c")
        await eventually(lambda: model.answered.total() == 1, "one call to start")
        await all_wait(work, 1)
        await work.store.reserve(work.queue, ENDPOINT, limits, (), [Returned(held.at, requests=-2)])
        views = await work.finished(ids)
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 3


async def test_an_idle_worker_keeps_nothing_reserved(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    with worker_process(
        store_url, work.queue, model.url, endpoint={"rateLimit": {"requestsPerMinute": 5, "tokensPerMinute": 900}}
    ) as worker:
        await worker.says("working")
        await work.finished(await work.submit("a"))

        async def only_the_one_call() -> bool:
            now = await counted(work, requests=5, tokens=900)
            return (now.requests, now.tokens) == (1, 10)

        await eventually(only_the_one_call, "one request and the ten tokens that the server counted to be all")


async def test_what_was_claimed_while_others_used_the_room_up_waits_on_and_burns_nothing(
    work: Work, model: ModelStub, store_url: str
) -> None:
    """Where there was room a moment ago the claim does not wait for the answer."""
    await work.open(retry={"maxAttempts": 1})
    limits = RateLimits(requests=100)
    limited = {"rateLimit": {"requestsPerMinute": 100}}
    with worker_process(store_url, work.queue, model.url, concurrency=2, endpoint=limited) as worker:
        await worker.says("working")
        await work.finished(await work.submit("a"))
        held = await work.store.reserve(work.queue, ENDPOINT, limits, [0] * 98)
        ids = await work.submit("b", "c", "d", "e")
        await eventually(lambda: model.answered.total() == 1 + (100 - held.requests), "the last of the room to be used")
        await all_wait(work, 1)
        calls, states = model.calls.total(), await work.states(ids)
        await work.store.reserve(work.queue, ENDPOINT, limits, (), [Returned(held.at, requests=-98)])
        views = await work.finished(ids)
    assert calls == 1 + (100 - held.requests)
    assert states.get("running", 0) == 0
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 4


async def test_what_a_killed_worker_reserved_is_no_more_than_what_it_claimed(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="1s")
    model.hold()
    with worker_process(
        store_url, work.queue, model.url, concurrency=2, endpoint={"rateLimit": {"requestsPerMinute": 10}}
    ) as worker:
        await work.submit("a", "b", "c")
        await eventually(lambda: model.inflight == 2, "both slots to be busy")
        worker.signal(signal.SIGKILL)
        await worker.exit_code()
    model.let_go()
    assert (await counted(work, requests=10)).requests == 2
    with worker_process(store_url, work.queue, model.url, endpoint={"rateLimit": {"requestsPerMinute": 10}}):
        await work.finished(["a", "b", "c"])
    assert (await counted(work, requests=10)).requests == 5


async def test_tokens_are_reserved_as_long_as_answers_may_become_and_settled_as_counted(
    work: Work, model: ModelStub, store_url: str
) -> None:
    """Without max_tokens an answer is taken for 256 tokens: three fit at once; each turns out to be ten with all."""
    await work.open()
    model.hold()
    limited = {"rateLimit": {"tokensPerMinute": 900}}
    with worker_process(store_url, work.queue, model.url, concurrency=8, endpoint=limited, port="0") as worker:
        ids = await work.submit(*(f"task-{number}" for number in range(30)))
        await eventually(lambda: model.inflight == 3, "as many calls as there are tokens for")
        reserved = await counted(work, tokens=900)
        states = await work.states(ids)
        model.let_go()
        views = await work.finished(ids)
        await eventually(lambda: all_settled(work), "the tokens that the server counted to be what counts")
        _, samples, _ = await scrape(await worker.port())
    assert 3 * 256 < reserved.tokens <= 900
    assert states == {"running": 3, "pending": 27}
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 30
    assert 0 < value(samples, "endpoint_limiter_available", "tokens") <= 900


async def all_settled(work: Work) -> bool:
    return (await counted(work, tokens=900)).tokens == 30 * 10


async def test_a_429_with_retry_after_stops_all_workers_and_burns_nothing(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(leaseDuration="1s", retry={"maxAttempts": 1})
    with ExitStack() as workers:
        processes = [
            workers.enter_context(worker_process(store_url, work.queue, model.url, concurrency=1)) for _ in range(3)
        ]
        for process in processes:
            await process.says("working")
        model.set_fault("429", after="3", times=1)
        await work.submit("first")
        await eventually(lambda: model.calls.total() == 1, "the call that is refused")

        async def is_known() -> bool:
            return (await work.store.reserve(work.queue, ENDPOINT, RateLimits(), [0])).granted == 0

        await eventually(is_known, "the pause to be in the store")
        began = asyncio.get_running_loop().time()
        ids = await work.submit(*(f"task-{number}" for number in range(6)))
        reports = await all_wait(work, 3)
        calls = model.calls.total()
        views = await work.finished(["first", *ids])
        took = asyncio.get_running_loop().time() - began
    assert calls == 1
    assert {report.trouble for report in reports} == {""}
    assert took > 1.5
    assert [(view.state, view.attempts) for view in views] == [(TaskState.COMPLETED, 1)] * 7
