"""A run takes every item through its steps, once each, and says what became of it."""

import asyncio
import csv
from typing import Any

import orjson
import pytest

from taskfleet.core.errors import InputError, UnknownModel
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.rules import ItemStatus, OnUntil, RunState
from taskfleet.core.task import QueueKey
from taskfleet.parallel import journal
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.earlier import EarlierResults
from taskfleet.store.runs import Runs
from tests.parallel.conftest import Ask, Bench
from tests.support.waiting import eventually
from tests.support.workerprocess import quick_policy, worker_process


async def test_each_item_goes_through_the_steps_and_each_step_sees_the_ones_before(bench: Bench, ask: Ask) -> None:
    record = await bench.run(
        on=["Rome", "Oslo"],
        action_loop=[
            {"name": "first", "action": ask("where is {{ $item }}?")},
            {"name": "second", "action": ask("{{ $index }} said {{ first }}")},
        ],
    )
    assert record.state is RunState.COMPLETED
    lines = await bench.lines()
    assert [(line["index"], line["item"], line["status"]) for line in lines] == [
        (0, "Rome", "completed"),
        (1, "Oslo", "completed"),
    ]
    said = f"echo: {ask('where is Rome?')}"
    assert lines[0]["steps"]["first"]["output"] == said
    assert lines[0]["steps"]["second"]["output"] == f"echo: {ask(f'0 said {said}')}"
    assert set(bench.all_calls().values()) == {1}


async def test_what_is_open_is_as_much_as_max_parallel_and_never_more(bench: Bench, ask: Ask) -> None:
    bench.stub.max_inflight = 0
    bench.stub.latency = 0.02
    try:
        record = await bench.run(
            on="{{ range(60) }}", max_parallel=7, action_loop=[{"name": "a", "action": ask("{{ $item }}")}]
        )
    finally:
        bench.stub.latency = 0.0
    assert record.tally.items[ItemStatus.COMPLETED] == 60
    assert bench.stub.max_inflight == 7


async def test_several_workers_have_as_much_open_as_that_and_no_more_than_their_endpoints_bear(
    bench: Bench, ask: Ask, queue: QueueKey, store_url: str
) -> None:
    await bench.store.put_policy(queue, quick_policy())
    bench.stub.latency = 0.05
    try:
        with (
            worker_process(store_url, queue, bench.stub.url, concurrency=4),
            worker_process(store_url, queue, bench.stub.url, concurrency=4),
        ):
            for most, at_once in ((6, 6), (50, 8)):
                bench.stub.max_inflight = 0
                own = Bench(bench.store, queue, bench.stub, f"{bench.word}{most}", bench.folder)
                record = await own.run(
                    on="{{ range(80) }}", max_parallel=most, action_loop=[{"name": "a", "action": ask("{{ $item }}")}]
                )
                assert record.tally.items[ItemStatus.COMPLETED] == 80
                assert bench.stub.max_inflight == at_once
    finally:
        bench.stub.latency = 0.0


async def test_items_of_a_file_are_read_as_they_are_wanted(bench: Bench, ask: Ask) -> None:
    (bench.folder / "items.jsonl").write_text('{"n": "a"}\n\n{"n": "b"}\n')
    with (bench.folder / "items.csv").open("w") as file:
        csv.writer(file).writerows([["n", "text"], ["c", "two\nlines"]])
    (bench.folder / "items.txt").write_text("d\n")
    for name in ("items.jsonl", "items.csv"):
        await bench.run(on=name, action_loop=[{"name": "a", "action": ask("{{ $item.n }}")}])
        await bench.store.runs.forget(bench.queue, bench.word)
    await bench.run(on="items.txt", action_loop=[{"name": "a", "action": ask("{{ $item }}")}])
    assert bench.all_calls() == {"a": 1, "b": 1, "c": 1, "d": 1}


async def test_a_step_whose_condition_does_not_hold_is_skipped(bench: Bench, ask: Ask) -> None:
    await bench.run(
        on=[1, 2],
        action_loop=[
            {"name": "a", "action": ask("a {{ $item }}"), "if": "{{ $item > 1 }}"},
            {"name": "b", "action": ask("b {{ $item }} {{ a.skipped }}")},
        ],
    )
    assert bench.all_calls() == {"a 2": 1, "b 1 true": 1, "b 2 false": 1}
    assert [line["status"] for line in await bench.lines()] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("on_error", "status", "state", "asked_next"),
    [("skip", "failed", "completed", 1), ("continue", "completed", "completed", 2), ("stop", "failed", "failed", 0)],
)
async def test_what_follows_a_failed_step_is_chosen(
    bench: Bench, ask: Ask, on_error: str, status: str, state: str, asked_next: int
) -> None:
    with bench.failing(ask("a bad")):
        record = await bench.run(
            on=["bad", "good"],
            max_parallel=1,
            action_loop=[
                {"name": "a", "action": ask("a {{ $item }}"), "onError": on_error},
                {"name": "b", "action": ask("b {{ $item }} {{ a.ok }}")},
            ],
        )
    lines = await bench.lines()
    assert (lines[0]["status"], record.state) == (status, state)
    assert lines[0]["steps"]["a"]["error"].startswith("bad_request: ")
    assert sum(count for prompt, count in bench.all_calls().items() if prompt.startswith("b ")) == asked_next
    if status == "failed":
        ((cause, number),) = record.tally.commonest(5)
        assert number == 1
        assert cause.startswith("bad_request: ")


async def test_a_step_is_tried_as_often_as_it_may_be(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("x"), times=2):
        record = await bench.run(
            on=["x"], action_loop=[{"name": "a", "action": ask("{{ $item }}"), "retry": {"maxAttempts": 3}}]
        )
    assert record.tally.items[ItemStatus.COMPLETED] == 1
    assert bench.calls("x") == 3
    assert (await bench.lines())[0]["attempts"] == 3


async def test_a_step_that_takes_too_long_fails_and_its_item_says_so(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("slow"), kind="hang"):
        await bench.run(on=["slow"], action_loop=[{"name": "a", "action": ask("{{ $item }}"), "timeout": "300ms"}])
    (line,) = await bench.lines()
    assert line["status"] == "failed"
    assert line["error"] == "timeout: it was not done within 300ms"


async def test_a_template_that_breaks_on_an_item_fails_that_item_and_no_other(bench: Bench, ask: Ask) -> None:
    await bench.run(on=[{"v": 1}, {}], action_loop=[{"name": "a", "action": ask("{{ $item.v }}")}])
    good, bad = await bench.lines()
    assert good["status"] == "completed"
    assert bad["error"] == "actionLoop[0].action: 'dict object' has no attribute 'v'"


async def test_while_brings_round_after_round(bench: Bench, ask: Ask) -> None:
    await bench.run(
        on=["x"],
        inputs={"most": 3},
        action_loop=[{"name": "a", "action": ask("round {{ $iteration }}")}],
        **{"while": "{{ a.ok and $iteration < most }}"},
    )
    assert bench.all_calls() == {"round 0": 1, "round 1": 1, "round 2": 1}
    assert (await bench.lines())[0]["rounds"] == 3


async def test_until_begins_nothing_new_and_the_run_has_completed(bench: Bench, ask: Ask) -> None:
    record = await bench.run(
        on="{{ range(1000) }}",
        max_parallel=2,
        action_loop=[{"name": "a", "action": ask("{{ $item }}")}],
        until="{{ $results | selectattr('status', 'eq', 'completed') | list | length >= 5 and $done >= 5 }}",
    )
    assert record.state is RunState.COMPLETED
    assert record.reason.startswith("until: ")
    assert 5 <= record.tally.done < 1000
    assert len(bench.all_calls()) == record.tally.items[ItemStatus.COMPLETED]


async def test_until_may_cancel_what_runs(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("slow"), kind="hang"):
        record = await bench.run(
            on=["quick", "slow"],
            action_loop=[{"name": "a", "action": ask("{{ $item }}")}],
            until="{{ $done == 1 }}",
            on_until="cancel",
        )
    assert record.state is RunState.COMPLETED
    assert [line["status"] for line in await bench.lines()] == ["completed", "cancelled"]


async def test_a_deadline_keeps_what_there_is(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("slow"), kind="hang"):
        record = await bench.run(
            on=["quick", "slow"],
            action_loop=[{"name": "a", "action": ask("{{ $item }}")}],
            deadline="1s",
        )
    assert record.state is RunState.EXPIRED
    quick, slow = await bench.lines()
    assert (quick["status"], slow["status"]) == ("completed", "cancelled")
    assert slow["error"] == "its deadline of 1s has passed"


async def test_a_file_that_breaks_off_ends_the_run_and_keeps_what_came_before(bench: Bench, ask: Ask) -> None:
    (bench.folder / "items.jsonl").write_text('1\n2\n{"no\n')
    record = await bench.run(on="items.jsonl", action_loop=[{"name": "a", "action": ask("{{ $item }}")}])
    assert record.state is RunState.FAILED
    assert "items.jsonl, line 3: not JSON" in record.reason
    assert [line["status"] for line in await bench.lines()] == ["completed", "completed"]


async def test_what_an_earlier_queue_came_to_streams_into_the_next_one(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("299")):
        first = await bench.run(
            on="{{ range(300) | list }}", max_parallel=60, action_loop=[{"name": "a", "action": ask("{{ $item }}")}]
        )
    for what, prompt, expected in (
        (
            "results",
            "{{ $item.index }}: {{ $item.status }}",
            [f"{n}: {'failed' if n == 299 else 'completed'}" for n in range(300)],
        ),
        ("outputs", "again {{ $item }}", [f"again echo: {ask(str(n))}" for n in range(299)]),
    ):
        source = EarlierResults(bench.store, bench.queue, bench.name, first, outputs=what == "outputs")
        assert source.total == len(expected)
        spec = bench.spec(
            on=f"{{{{ first.{what} }}}}", max_parallel=20, action_loop=[{"name": "b", "action": ask(prompt)}]
        )
        coordinator = await Coordinator.open(bench.store, bench.queue)
        order = Order(f"{bench.name}-{what}", spec.queues[0].spec, {}, bench.folder, {}, source)
        running = asyncio.create_task((await coordinator.driver(order)).run(60.0))
        await eventually(lambda expected=expected: bench.calls(expected[100]), "the hundredth")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        again = Order(
            order.name,
            order.spec,
            {},
            bench.folder,
            {},
            EarlierResults(bench.store, bench.queue, bench.name, first, outputs=what == "outputs"),
        )
        driver = await coordinator.driver(again)
        await driver.run(60.0)
        assert [bench.calls(each) for each in expected] == [1] * len(expected)
        assert driver.record.kept is None
        assert driver.record.tally.items[ItemStatus.COMPLETED] == len(expected)


async def test_results_that_are_no_longer_kept_end_the_next_queue_in_words(bench: Bench, ask: Ask) -> None:
    first = await bench.run(on=[1], action_loop=[{"name": "a", "action": ask("{{ $item }}")}])
    await bench.store.runs.forget(bench.queue, bench.name)
    source = EarlierResults(bench.store, bench.queue, bench.name, first, outputs=False)
    spec = bench.spec(on="{{ first.results }}", action_loop=[{"name": "b", "action": ask("x")}]).queues[0].spec
    coordinator = await Coordinator.open(bench.store, bench.queue)
    driver = await coordinator.driver(Order(f"{bench.name}-2", spec, {}, bench.folder, {}, source))
    await driver.run(60.0)
    assert driver.record.state is RunState.FAILED
    assert driver.record.reason == f"on: the results of {bench.name} are no longer kept; run it again"


async def test_no_more_is_begun_than_can_be_written_down(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that cost nothing come faster than the store takes their results, which must not pile up in memory."""
    monkeypatch.setattr(journal, "_MOST_BEHIND", 10)
    changes: list[int] = []
    commit = Runs.commit

    async def counted(runs: Runs, queue: Any, name: str, holder: str, change: Any, kept_seconds: float) -> bool:
        changes.append(len(change.lines))
        return await commit(runs, queue, name, holder, change, kept_seconds)

    monkeypatch.setattr(Runs, "commit", counted)
    skipped = {"name": "a", "action": "never", "if": "{{ false }}"}
    record = await bench.run(on="{{ range(100) | list }}", max_parallel=5, action_loop=[skipped])
    assert record.tally.items[ItemStatus.COMPLETED] == sum(changes) == 100
    assert max(changes) <= 10 + 2 * 5
    assert [line["index"] for line in await bench.lines()] == list(range(100))


async def test_no_items_are_a_run_too(bench: Bench) -> None:
    record = await bench.run(on=[], action_loop=[{"name": "a", "action": "x"}])
    assert (record.state, record.tally.done) == (RunState.COMPLETED, 0)
    assert await bench.lines() == []


async def test_a_model_that_the_queue_does_not_have_is_named_before_anything_runs(bench: Bench) -> None:
    with pytest.raises((InputError, UnknownModel), match=r"actionLoop\[1\]: .*'gpt-9'"):
        await bench.run(
            on=[1], action_loop=[{"name": "a", "action": "x"}, {"name": "b", "action": "x", "model": "gpt-9"}]
        )
    assert await bench.store.runs.fields(bench.queue, bench.word) == {}


async def test_a_tool_is_a_task_for_its_lane_with_rendered_arguments(bench: Bench, queue: Any) -> None:
    await bench.store.put_policy(queue, quick_policy(models=[{"name": "notes"}]))
    own = Bench(bench.store, queue, bench.stub, bench.word, bench.folder)
    driver = await own.driver(
        own.spec(
            on=[{"url": "http://a.test", "v": 3}],
            tool="notes",
            action_loop=[
                {
                    "name": "get",
                    "arguments": {"url": "{{ $item.url }}/x", "tries": "{{ $item.v }}", "h": ["{{ $index }}"]},
                }
            ],
        )
    )
    running = asyncio.create_task(driver.run(60.0))
    task = await eventually(lambda: first_waiting(own), "the tool's task")
    assert task.model == "notes"
    body = orjson.loads(task.body)
    assert (body["tool"], body["arguments"]) == ("notes", {"url": "http://a.test/x", "tries": 3, "h": [0]})
    driver.stop(Stop(RunState.CANCELLED, "enough", OnUntil.CANCEL))
    await running
    assert [line["status"] for line in await own.lines()] == ["cancelled"]


async def first_waiting(bench: Bench) -> Any:
    async for task in bench.store.waiting(bench.queue):
        return task
    return None


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ({"action": "{{ $item | dictsort }}"}, "actionLoop[0].action: 'str' object has no attribute 'items'"),
        ({"action": "{{ $item[:0] }}"}, "actionLoop[0].action: it is empty for this item"),
        (
            {"tool": "http", "arguments": {"url": "{{ $item }}"}},
            "actionLoop[0].arguments.url: it must begin with http:// or https://",
        ),
        (
            {"on": "{{ [range(3)] }}", "action_loop": [{"name": "inner", "action": "x"}]},
            "actionLoop[0].on: its value is nothing that JSON has",
        ),
    ],
)
async def test_an_item_that_nothing_can_be_done_with_fails_alone_and_says_where(
    tools: Bench, step: dict[str, Any], error: str
) -> None:
    record = await tools.run(on=["text"], action_loop=[{"name": "one", **step}])
    assert record.state is RunState.COMPLETED
    (line,) = await tools.lines()
    assert (line["status"], line["error"][: len(error)]) == ("failed", error)
