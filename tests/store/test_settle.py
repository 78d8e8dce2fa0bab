"""How leases end: exactly one result, under the newest fence only."""

import pytest

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import QueueKey, TaskError, TaskState, TaskView, Usage
from taskfleet.store import Store, keys
from tests.store import inside
from tests.store.given import claim_one, error, policy, settle, task, tasks

pytestmark = pytest.mark.spread


async def only(store: Store, queue: QueueKey, name: str = "t00000") -> TaskView:
    (view,) = await store.get(queue, [name])
    assert view is not None
    return view


async def test_a_completed_task_shows_its_result_and_its_body_is_gone(store: Store, opened: QueueKey) -> None:
    body = b'{"messages":[],"parameters":{},"metadata":{"row":7,"tags":["a"]}}'
    await store.submit(opened, [task("t1", body=body)], batch="b")
    leased = await claim_one(store, opened, "worker-7")
    done = settle(leased, output="42", usage=Usage(11, 3), endpoint="local", run_seconds=1.25)
    assert await store.settle(opened, [done]) == [True]
    assert await only(store, opened, "t1") == TaskView(
        id="t1",
        state=TaskState.COMPLETED,
        model="small",
        priority=leased.priority,
        attempts=1,
        enqueued_at=leased.enqueued_at,
        output="42",
        endpoint="local",
        worker="worker-7",
        usage=Usage(11, 3),
        queue_seconds=round(leased.claimed_at - leased.enqueued_at, 3),
        run_seconds=1.25,
        batch="b",
        metadata={"row": 7, "tags": ["a"]},
        requested_model="small",
    )
    record = keys.task(await inside.place_of(store, opened, "t1"), "t1")
    assert b'"messages"' not in await inside.call(store, "GET", record)


async def test_an_output_may_be_a_whole_message(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    output = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    await store.settle(opened, [settle(await claim_one(store, opened), output=output)])
    assert (await only(store, opened)).output == output


async def test_a_second_settle_of_one_lease_is_refused(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    leased = await claim_one(store, opened)
    first, second = settle(leased, output="first"), settle(leased, output="second")
    assert await store.settle(opened, [first, second]) == [True, False]
    assert await store.settle(opened, [second]) == [False]
    assert (await only(store, opened)).output == "first"
    await inside.assert_consistent(store, opened)


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_a_late_worker_cannot_touch_a_task_that_another_has_now(
    store: Store, opened: QueueKey, verdict: Verdict
) -> None:
    await store.submit(opened, tasks(1))
    late = await claim_one(store, opened, "late")
    await inside.end_leases(store, opened)
    now = await claim_one(store, opened, "now")
    assert (now.id, now.fence, now.attempt) == (late.id, late.fence + 1, 2)
    assert await store.settle(opened, [settle(late, verdict, output="stale")]) == [False]
    view = await only(store, opened)
    assert (view.state, view.worker) == (TaskState.RUNNING, "now")
    assert await store.settle(opened, [settle(now, output="right")]) == [True]
    assert (await only(store, opened)).output == "right"


async def test_a_task_that_is_not_there_is_refused(store: Store, opened: QueueKey) -> None:
    assert await store.settle(opened, [Settlement("nobody", 1, Verdict.COMPLETE, output="x")]) == [False]
    assert await store.settle(opened, []) == []


async def test_a_failed_task_is_a_dead_letter_with_its_error(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1), batch="b")
    trouble = TaskError("bad_request", "no such parameter: 'temprature'", 400)
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.FAIL, error=trouble)])
    view, stats = await only(store, opened), await store.stats(opened)
    assert (view.state, view.error, view.output) == (TaskState.FAILED, trouble, None)
    assert stats is not None and (stats.failed, stats.counters["failed_total"], stats.running) == (1, 1, 0)
    await inside.assert_consistent(store, opened)


async def test_a_retry_burns_the_attempt_and_a_release_gives_it_back(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    attempts = []
    for verdict in (Verdict.RETRY, Verdict.RELEASE, Verdict.RELEASE, Verdict.RETRY):
        leased = await claim_one(store, opened)
        attempts.append((leased.attempt, leased.fence))
        assert await store.settle(opened, [settle(leased, verdict, error=error())]) == [True]
    last = await claim_one(store, opened)
    assert [*attempts, (last.attempt, last.fence)] == [(1, 1), (2, 2), (2, 3), (2, 4), (3, 5)]


@pytest.mark.one_place("the order over a whole queue")
async def test_a_task_handed_back_goes_to_the_front_of_its_lane(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(6))
    claim = await store.claim(opened, "w1", ["small"], 4)
    back = [
        settle(claim.tasks[n], verdict)
        for n, verdict in ((2, Verdict.RELEASE), (0, Verdict.RETRY), (3, Verdict.RELEASE))
    ]
    await store.settle(opened, back)
    claim = await store.claim(opened, "w2", ["small"], 6)
    assert [leased.id for leased in claim.tasks] == ["t00000", "t00002", "t00003", "t00004", "t00005"]


@pytest.mark.one_place("the order over a whole queue")
async def test_a_delayed_task_waits_for_its_time_and_then_is_first(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2))
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, delay=30, error=error())])
    stats, view = await store.stats(opened), await only(store, opened)
    assert stats is not None and (stats.pending, stats.scheduled, stats.backlog) == (1, 1, {"small": 1})
    assert stats.next_due_at == pytest.approx(stats.now + 30, abs=5)
    assert (view.state, view.error) == (TaskState.PENDING, error()), "why it waits"
    await inside.assert_consistent(store, opened)
    await inside.make_retries_due(store, opened)
    stats = await store.stats(opened)
    assert stats is not None and (stats.pending, stats.scheduled, stats.backlog) == (2, 0, {"small": 2})
    assert (await claim_one(store, opened)).id == "t00000"


async def test_retries_are_counted_by_their_reason_and_tokens_in_all(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(3))
    claim = await store.claim(opened, "w1", ["small"], 3)
    await store.settle(
        opened,
        [
            settle(claim.tasks[0], Verdict.RETRY, error=error("timeout")),
            settle(claim.tasks[1], Verdict.RELEASE, error=error("rate_limited")),
            settle(claim.tasks[2], usage=Usage(100, 20)),
        ],
    )
    claim = await store.claim(opened, "w1", ["small"], 3)
    await store.settle(
        opened, [settle(leased, Verdict.RETRY, error=error(), usage=Usage(1, 2)) for leased in claim.tasks]
    )
    stats = await store.stats(opened)
    assert stats is not None
    assert {name: stats.counters[name] for name in ("retries.timeout", "retries.rate_limited")} == {
        "retries.timeout": 3,
        "retries.rate_limited": 1,
    }
    assert (stats.counters["tokens_input"], stats.counters["tokens_output"]) == (102, 24)


async def test_the_last_error_goes_with_the_next_result(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.RETRY, error=error())])
    await store.settle(opened, [settle(await claim_one(store, opened))])
    view = await only(store, opened)
    assert (view.state, view.error, view.attempts) == (TaskState.COMPLETED, None, 2)
    await inside.assert_consistent(store, opened)


async def test_each_attempt_that_did_not_end_the_task_is_remembered(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    first = await claim_one(store, opened, "w1")
    await store.settle(opened, [settle(first, Verdict.RETRY, error=error(), endpoint="gpu")])
    second = await claim_one(store, opened, "w2")
    await store.settle(opened, [settle(second, Verdict.RELEASE, endpoint="gpu")])
    await claim_one(store, opened, "w3")
    await inside.end_leases(store, opened)
    last = await claim_one(store, opened, "w4")
    seen = [
        (each.number, each.worker, each.endpoint, each.error and each.error.code)
        for each in (await only(store, opened)).history
    ]
    assert seen == [(1, "w1", "gpu", "timeout"), (2, "w2", "gpu", None), (2, "w3", None, "worker_lost")]
    await store.settle(opened, [settle(last)])
    view = await only(store, opened)
    assert (view.state, view.attempts, view.error, len(view.history)) == (TaskState.COMPLETED, 3, None, 3)
    assert all(0 < each.claimed_at <= each.ended_at for each in view.history)
    await inside.assert_consistent(store, opened)


async def test_of_many_attempts_the_last_twenty_are_remembered(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    for number in range(25):
        leased = await claim_one(store, opened)
        await store.settle(opened, [settle(leased, Verdict.RELEASE, error=error(message=f'try {number} "quoted" ö/'))])
    await store.cancel(opened, [leased.id])
    view = await only(store, opened)
    assert view.state is TaskState.CANCELLED
    assert [each.error.message for each in view.history if each.error] == [f'try {n} "quoted" ö/' for n in range(5, 25)]


async def test_many_leases_end_in_one_call_in_order(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1200), batch="b")
    claimed = []
    while found := (await store.claim(opened, "w1", ["small"], 1000)).tasks:
        claimed += found
    answers = await store.settle(opened, [settle(leased, output=leased.id) for leased in claimed])
    assert answers == [True] * 1200
    assert [view.output async for view in store.batch_tasks(opened, "b")] == [each.id for each in tasks(1200)]
    batch = await store.batch(opened, "b")
    assert batch is not None and (batch.completed, batch.open) == (1200, 0)


@pytest.mark.one_place("the record of a batch")
async def test_results_stay_as_long_as_retention_says(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(keep_results_seconds=50, keep_failed_seconds=5000))
    await store.submit(opened, tasks(2), batch="b")
    claim = await store.claim(opened, "w1", ["small"], 2)
    await store.settle(opened, [settle(claim.tasks[0]), settle(claim.tasks[1], Verdict.FAIL, error=error())])
    left = [await inside.call(store, "PTTL", keys.task(opened, f"t0000{n}")) for n in (0, 1)]
    assert 40_000 < left[0] <= 50_000 and 4_900_000 < left[1] <= 5_000_000
    for name in (keys.batch(opened, "b"), keys.batch_ids(opened, "b")):
        assert 4_900_000 < await inside.call(store, "PTTL", name) <= 5_000_000
    await store.submit(opened, [task("later")], batch="b")
    assert await inside.call(store, "PTTL", keys.batch(opened, "b")) == -1, "a batch that grows is open again"


async def test_a_retention_of_nothing_is_allowed(store: Store, opened: QueueKey) -> None:
    await store.put_policy(opened, policy(keep_results_seconds=0, keep_failed_seconds=0))
    await store.submit(opened, tasks(1), batch="b")
    assert await store.settle(opened, [settle(await claim_one(store, opened))]) == [True]


async def test_an_error_of_any_length_and_alphabet_comes_back(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(1))
    trouble = TaskError("c" * 300, "ä\u2028\x00\"'" * 9000)
    await store.settle(opened, [settle(await claim_one(store, opened), Verdict.FAIL, error=trouble)])
    assert (await only(store, opened)).error == trouble


async def test_a_task_that_had_all_of_its_attempts_fails_whatever_its_worker_thinks(
    store: Store, opened: QueueKey
) -> None:
    await store.put_policy(opened, policy(max_attempts=2))
    await store.submit(opened, tasks(1))
    for _ in range(2):
        leased = await claim_one(store, opened)
        assert await store.settle(opened, [settle(leased, Verdict.RETRY, error=error(), endpoint="gpu")]) == [True]
    view = await only(store, opened)
    assert (view.state, view.attempts, view.error, view.endpoint) == (TaskState.FAILED, 2, error(), "gpu")
    assert [each async for each in store.dead_letters(opened)]
    await inside.assert_consistent(store, opened)
