"""A step may be a loop over items of its own: bounded, with names for what is around it, and durable."""

import asyncio
from typing import Any

import pytest

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import InvalidManifest
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.rules import ItemStatus, OnUntil, RunState
from tests.parallel.conftest import KEPT, Ask, Bench
from tests.support.waiting import eventually


def pages(ask: Ask, **fields: Any) -> dict[str, Any]:
    """For each of a site's pages a call, and how the site is called in it."""
    inside = [{"name": "check", "action": ask("{{ $site.name }} {{ $item }} {{ $index }}")}]
    return {"name": "pages", "on": "{{ $item.pages }}", "action_loop": inside} | fields


SITES = [{"name": "a", "pages": ["x", "w"]}, {"name": "b", "pages": []}, {"name": "c", "pages": ["z"]}]


async def test_a_step_goes_over_items_of_its_own_and_later_steps_see_what_came_of_them(bench: Bench, ask: Ask) -> None:
    report = ask("{{ $item.name }}: {{ pages.completed }} of {{ pages.results | length }} {{ pages.ok }}")
    record = await bench.run(on=SITES, **{"as": "site"}, action_loop=[pages(ask), {"name": "report", "action": report}])
    assert record.tally.items[ItemStatus.COMPLETED] == 3
    assert bench.all_calls() == {
        "a x 0": 1,
        "a w 1": 1,
        "c z 0": 1,
        "a: 2 of 2 true": 1,
        "b: 0 of 0 true": 1,
        "c: 1 of 1 true": 1,
    }
    assert record.tally.steps["pages.check"] == {"ok": 3}
    (line, *_) = await bench.lines()
    result = line["steps"]["pages"]
    assert result["output"] == [f"echo: {ask('a x 0')}", f"echo: {ask('a w 1')}"]
    assert [(each["index"], each["item"], each["status"]) for each in result["results"]] == [
        (0, "x", "completed"),
        (1, "w", "completed"),
    ]


async def test_loops_go_three_deep_and_each_has_its_own_names(bench: Bench, ask: Ask) -> None:
    innermost = {"name": "say", "action": ask("{{ $first }}{{ $second }}{{ $item }} of {{ $items | length }}")}
    inner = {"name": "inner", "on": [1, 2, 3], "action_loop": [innermost], "max_parallel": 3}
    outer = {"name": "outer", "on": "{{ ['x', 'w'] }}", "as": "second", "action_loop": [inner], "max_parallel": 2}
    record = await bench.run(on=["a"], **{"as": "first"}, action_loop=[outer])
    assert bench.all_calls() == {f"a{second}{number} of 3": 1 for second in "xw" for number in (1, 2, 3)}
    assert record.tally.steps["outer.inner.say"] == {"ok": 6}
    (line,) = await bench.lines()
    (first, _) = line["steps"]["outer"]["results"]
    assert len(first["steps"]["inner"]["results"]) == 3


async def test_so_many_inner_items_are_open_as_the_loop_may_have_and_never_more(bench: Bench, ask: Ask) -> None:
    bench.stub.max_inflight = 0
    bench.stub.latency = 0.02
    loop = pages(ask, on="{{ range(12) | list }}", max_parallel=3)
    loop["action_loop"] = [{"name": "check", "action": ask("{{ $site }} {{ $item }}")}]
    try:
        await bench.run(on=["a", "b", "c"], **{"as": "site"}, max_parallel=2, action_loop=[loop])
    finally:
        bench.stub.latency = 0.0
    assert len(bench.all_calls()) == 36
    assert bench.stub.max_inflight == 6


async def test_a_loop_fails_with_its_items_and_goes_on_when_that_is_said(bench: Bench, ask: Ask) -> None:
    after = {"name": "after", "action": ask("after {{ pages.failed }}")}
    with bench.failing(ask("a w")):
        await bench.run(on=SITES[:1], **{"as": "site"}, action_loop=[pages(ask), after])
        (line,) = await bench.lines()
        assert line["status"] == "failed"
        assert line["error"].startswith("1 of 2 items failed: bad_request: ")
        assert bench.calls("after 1") == 0
        await bench.store.runs.forget(bench.queue, bench.name)
        await bench.run(on=SITES[:1], **{"as": "site"}, action_loop=[pages(ask, onError="continue"), after])
    assert bench.calls("after 1") == 1


async def test_a_loop_may_be_skipped_and_have_rounds(bench: Bench, ask: Ask) -> None:
    rounds = pages(ask, **{"if": "{{ $item.name != 'b' }}", "while": "{{ $iteration < 2 }}"})
    await bench.run(on=SITES, **{"as": "site"}, action_loop=[rounds])
    first, second, _ = await bench.lines()
    assert [each["rounds"] for each in first["steps"]["pages"]["results"]] == [2, 2]
    assert second["steps"]["pages"]["skipped"] is True


@pytest.mark.parametrize("on_until", ["finish", "cancel"])
async def test_a_loop_ends_once_enough_of_its_items_are_done(bench: Bench, ask: Ask, on_until: str) -> None:
    enough = {"until": "{{ $completed >= $site.enough and $results | length >= $site.enough }}", "on_until": on_until}
    loop = pages(ask, on="{{ range(50) | list }}", max_parallel=2, **enough)
    loop["action_loop"] = [{"name": "check", "action": ask("{{ $site.name }} {{ $item }}")}]
    after = {"name": "after", "action": ask("{{ $item.name }} after {{ pages.ok }}")}
    sites = [{"name": "a", "enough": 3}, {"name": "b", "enough": 0}, {"name": "c", "enough": 99}]
    record = await bench.run(on=sites, **{"as": "site"}, action_loop=[loop, after], onUntil="finish")
    assert record.tally.items[ItemStatus.COMPLETED] == 3
    first, none, last = (line["steps"]["pages"] for line in await bench.lines())
    assert 3 <= first["completed"] <= 4
    assert first["completed"] + first["cancelled"] == len(first["results"]) <= 5
    assert (last["completed"], last["ok"]) == (50, True)
    assert (none["results"], none["ok"]) == ([], True), "it holds before anything has begun"
    assert {name: bench.calls(f"{name} after true") for name in "abc"} == {"a": 1, "b": 1, "c": 1}


async def test_a_loop_that_ends_early_does_so_whoever_drives_it(bench: Bench, ask: Ask) -> None:
    loop = pages(ask, on="{{ range(40) | list }}", max_parallel=2, until="{{ $completed >= 8 }}")
    loop["action_loop"] = [{"name": "check", "action": ask("{{ $site }} {{ $item }}")}]
    pipeline = bench.spec(on=["a", "b", "c"], **{"as": "site"}, max_parallel=2, action_loop=[loop])
    record = await bench.run_cut_off(pipeline, 3, 8, 15, 20)
    assert record.tally.items[ItemStatus.COMPLETED] == 3
    assert set(bench.all_calls().values()) == {1}
    for line in await bench.lines():
        assert 8 <= line["steps"]["pages"]["completed"] == len(line["steps"]["pages"]["results"]) <= 10


async def test_a_condition_that_breaks_fails_its_loop_and_says_where(bench: Bench, ask: Ask) -> None:
    await bench.run(on=SITES[:1], **{"as": "site"}, action_loop=[pages(ask, until="{{ $results[9].item }}")])
    (line,) = await bench.lines()
    assert line["error"].startswith("actionLoop[0].until: ")


async def test_a_loop_that_takes_too_long_is_ended_and_says_so(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("c z"), kind="hang"):
        await bench.run(on=SITES[2:], **{"as": "site"}, action_loop=[pages(ask, timeout="400ms")])
    (line,) = await bench.lines()
    assert line["error"] == "timeout: it was not done within 400ms"
    assert [each["status"] for each in line["steps"]["pages"]["results"]] == ["cancelled"]


async def test_what_is_no_list_or_too_long_fails_its_item_in_words(bench: Bench, ask: Ask) -> None:
    await bench.run(
        on=[{"pages": "x"}, {"pages": list(range(1001))}], **{"as": "site"}, action_loop=[pages(ask)], max_parallel=1
    )
    first, second = await bench.lines()
    assert first["error"] == "actionLoop[0].on: it is no list but str: 'x'"
    assert second["error"].startswith("actionLoop[0].on: a loop inside an item goes over at most 1,000 items")


async def test_a_model_may_list_the_items_of_a_loop_and_is_asked_once(bench: Bench, ask: Ask) -> None:
    loop = pages(ask, on=f"<AUTO>{ask('list of {{ $item }}')}</AUTO>")
    loop["action_loop"] = [{"name": "check", "action": ask("check {{ $item }}")}]
    with bench.answering(lambda prompt, _body: '["p", "q"]' if prompt.startswith("list of") else None):
        await bench.run(on=["a"], action_loop=[loop])
    assert (bench.calls("check p"), bench.calls("check q"), bench.asked("list of a")) == (1, 1, 1)


async def test_a_coordinator_that_dies_in_inner_loops_is_replaced_and_no_step_runs_twice(
    bench: Bench, ask: Ask
) -> None:
    loop = pages(ask, on="{{ range(20) | list }}", max_parallel=2)
    loop["action_loop"] = [
        {"name": name, "action": ask(f"{name} {{{{ $site }}}} {{{{ $item }}}}")} for name in ("check", "more")
    ]
    pipeline = bench.spec(on=["a", "b", "c"], **{"as": "site"}, max_parallel=2, action_loop=[loop])
    record = await bench.run_cut_off(pipeline, 10, 30, 60, 90)
    assert record.tally.items[ItemStatus.COMPLETED] == 3
    assert len(bench.all_calls()) == 3 * 20 * 2
    assert set(bench.all_calls().values()) == {1}
    for line in await bench.lines():
        assert [each["index"] for each in line["steps"]["pages"]["results"]] == list(range(20))
    assert (await bench.store.runs.take(bench.queue, bench.name, "test"))[1] == {}, "nothing open is left behind"


async def test_a_run_that_is_cancelled_ends_what_runs_in_its_inner_loops(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("a w"), kind="hang"):
        pipeline = bench.spec(on=SITES[:1], **{"as": "site"}, action_loop=[pages(ask)])
        first = await bench.driver(pipeline)
        running = asyncio.create_task(first.run(KEPT))
        await eventually(lambda: bench.calls("a w 1"), "the second call")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await to_its_end(first.leave())
        second = await bench.driver(pipeline)
        second.stop(Stop(RunState.CANCELLED, "enough", OnUntil.CANCEL))
        await second.run(KEPT)
    (line,) = await bench.lines()
    assert line["status"] == "cancelled"
    assert [each["status"] for each in line["steps"]["pages"]["results"]] == ["completed", "cancelled"]


def test_what_a_loop_cannot_have_is_said_with_its_field(bench: Bench, ask: Ask) -> None:
    from taskfleet.parallel.scope import check

    deep = {"name": "c", "on": [1], "action_loop": [{"name": "d", "on": [1], "action_loop": []}]}
    for loop, words in (
        (pages(ask, on=None), "actionLoop[0]: a step with an actionLoop goes over items"),
        (pages(ask, until="<AUTO>all are there</AUTO>"), "until: <AUTO> is for the until of the whole queue"),
        (pages(ask, until="{{ check.ok }}"), "until: check is not known here"),
        ({"name": "a", "action": "x", "until": "{{ true }}"}, "until: this is for a loop"),
        (pages(ask, action_loop=None), "on: a step with items goes over them with an actionLoop"),
        (pages(ask, action="x"), "action: this is for a call, and this step is a loop"),
        (pages(ask, on="pages.csv"), "on: 'pages.csv' is no list, no expression {{ }}: a file is only for the whole"),
        (pages(ask, **{"as": "item"}), "as: $item has a meaning of its own"),
        (pages(ask, **{"as": "site"}), "as: site is what the items of a loop around it are called"),
        ({"name": "a", "action": "x", "max_parallel": 3}, "maxParallel: this is for a loop"),
        (pages(ask, action_loop=[{"name": "b", "action": "{{ pages }}"}]), "pages is not known here"),
        ({"name": "a", "on": [1], "action_loop": [{"name": "b", "on": [1], "action_loop": [deep]}]}, "unknown field"),
    ):
        fields = {name: value for name, value in loop.items() if value is not None}
        with pytest.raises(InvalidManifest) as refused:
            check(bench.spec(on=SITES, **{"as": "site"}, action_loop=[fields]))
        assert words in str(refused.value).replace("action_loop", "actionLoop").replace(
            "max_parallel", "maxParallel"
        ), refused.value
