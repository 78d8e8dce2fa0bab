"""Conditions that a model judges: of a step, of a round, and of the whole run."""

import asyncio
import json
from typing import Any

import pytest

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.parallel.rules import ItemStatus, RunState
from taskfleet.parallel import askeduntil
from tests.parallel.conftest import KEPT, Ask, Bench
from tests.support.browsers import needs_browser
from tests.support.waiting import eventually
from tests.tools.site import Server

YES, NO = '{"holds": true}', '{"holds": false}'


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """``until`` is judged without a pause between two questions."""
    monkeypatch.setattr(askeduntil, "LEAST_SECONDS", 0.0)


async def test_a_step_runs_where_a_model_says_that_its_condition_holds(bench: Bench, ask: Ask) -> None:
    def judge(prompt: str, _body: dict[str, Any]) -> str | None:
        if not prompt.startswith("Judge whether this holds: "):
            return None
        assert "is 1 odd?" in prompt or "is 2 odd?" in prompt
        assert '"steps":{"a":{"ok":true,"output":"echo: ' in prompt, "the model is told of the steps before"
        return YES if "is 1 odd?" in prompt else NO

    with bench.answering(judge):
        await bench.run(
            on=[1, 2],
            action_loop=[
                {"name": "a", "action": ask("a {{ $item }}")},
                {"name": "b", "action": ask("b {{ $item }}"), "if": f"<AUTO>{ask('is {{ $item }} odd?')}</AUTO>"},
            ],
        )
    first, second = await bench.lines()
    assert (first["steps"]["b"]["ok"], second["steps"]["b"]["skipped"]) == (True, True)
    assert (bench.calls("b 1"), bench.calls("b 2")) == (1, 0)


async def test_a_round_follows_as_long_as_a_model_says_so(bench: Bench, ask: Ask) -> None:
    def judge(prompt: str, _body: dict[str, Any]) -> str | None:
        if "more?" not in prompt:
            return None
        return YES if "more? 1" in prompt or "more? 2" in prompt else NO

    with bench.answering(judge):
        await bench.run(
            on=["x"],
            action_loop=[{"name": "a", "action": ask("round {{ $iteration }}")}],
            **{"while": f"<AUTO>{ask('more? {{ $iteration }}')}</AUTO>"},
        )
    (line,) = await bench.lines()
    assert (line["status"], line["rounds"]) == ("completed", 3)
    assert [bench.calls(f"round {number}") for number in range(4)] == [1, 1, 1, 0]


async def test_the_run_ends_when_a_model_says_that_all_it_wanted_is_there(bench: Bench, ask: Ask, often: None) -> None:
    told: list[str] = []

    def judge(prompt: str, _body: dict[str, Any]) -> str | None:
        if "enough?" not in prompt:
            return None
        told.append(prompt)
        return YES if "item 3" in prompt else NO

    with bench.answering(judge):
        record = await bench.run(
            on=[f"item {number}" for number in range(1000)],
            max_parallel=2,
            action_loop=[{"name": "a", "action": ask("{{ $item }}")}],
            until=f"<AUTO>{ask('enough?')}</AUTO>",
        )
    assert (record.state, record.reason) == (RunState.COMPLETED, f"until: <AUTO>{ask('enough?')}</AUTO> holds")
    assert 4 <= record.tally.done < 1000
    assert len(bench.all_calls()) <= record.tally.done + len(told)
    assert "of 1000 items have ended (" in told[0]
    assert '{"item":"item 0","status":"completed","steps":{"a":{"output":"echo: ' in told[-1]
    assert bench.asked("enough?") == len(told), "each question was asked once"


async def test_a_model_is_asked_once_a_second_at_most_whether_the_run_is_to_end(bench: Bench, ask: Ask) -> None:
    bench.stub.latency = 0.02
    try:
        with bench.answering(lambda prompt, _body: NO if "enough?" in prompt else None):
            record = await bench.run(
                on="{{ range(60) | list }}",
                max_parallel=2,
                action_loop=[{"name": "a", "action": ask("{{ $item }}")}],
                until=f"<AUTO>{ask('enough?')}</AUTO>",
            )
    finally:
        bench.stub.latency = 0.0
    assert record.tally.done == 60
    assert record.finished is not None
    assert 1 <= bench.asked("enough?") <= 1 + (record.finished - record.began) / askeduntil.LEAST_SECONDS


async def test_a_judgement_that_cannot_be_had_ends_the_run_in_words_and_keeps_what_there_is(
    bench: Bench, ask: Ask, often: None
) -> None:
    with bench.answering(lambda prompt, _body: "I think so!" if "enough?" in prompt else None):
        record = await bench.run(
            on="{{ range(50) | list }}",
            max_parallel=1,
            action_loop=[{"name": "a", "action": ask("{{ $item }}")}],
            until=f"<AUTO>{ask('enough?')}</AUTO>",
        )
    if record.state is RunState.FAILED:  # it was asked often enough before the last item
        assert record.reason.startswith("until: the model's answers cannot be used, and it was told so: it is not JSON")
        assert {line["status"] for line in await bench.lines()} == {"completed"}
    assert record.tally.done > 0


@pytest.mark.parametrize(("field", "words"), [("if", "actionLoop[0].if: "), ("while", "while: ")])
async def test_an_item_whose_condition_cannot_be_judged_fails_and_says_where(
    bench: Bench, ask: Ask, field: str, words: str
) -> None:
    condition = {field: f"<AUTO>{ask('good?')}</AUTO>"}
    step = {"name": "a", "action": ask("x")} | (condition if field == "if" else {})
    with bench.answering(lambda prompt, _body: "perhaps" if "good?" in prompt else None):
        await bench.run(on=[1], action_loop=[step], **(condition if field == "while" else {}))
    (line,) = await bench.lines()
    assert line["status"] == "failed"
    assert line["error"].startswith(f"{words}the model's answers cannot be used, and it was told so: it is not JSON")
    assert bench.asked("good?") == 3


async def test_a_coordinator_that_dies_while_a_model_judges_loses_no_judgement_and_repeats_no_step(
    bench: Bench, ask: Ask, often: None
) -> None:
    pipeline = bench.spec(
        on=["x", "y"],
        max_parallel=1,
        action_loop=[{"name": "a", "action": ask("do {{ $item }}"), "if": f"<AUTO>{ask('begin {{ $item }}?')}</AUTO>"}],
        until=f"<AUTO>{ask('enough?')}</AUTO>",
        on_until="cancel",
        **{"while": f"<AUTO>{ask('again {{ $item }}?')}</AUTO>"},
    )
    bench.stub.hold()
    try:
        with bench.answering(lambda prompt, _body: NO if "again" in prompt else YES if "?" in prompt else None):
            for asked in ("begin x?", "do x", "again x?", "enough?"):
                driver = await bench.driver(pipeline)
                running = asyncio.create_task(driver.run(KEPT))
                await eventually(
                    lambda asked=asked: bench.calls(asked) or bench.asked(f"holds: {bench.word} {asked}"), asked
                )
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                if asked == "do x":
                    await to_its_end(driver.leave())
                bench.stub.let_go()
                await eventually(lambda: bench.stub.inflight == 0, "the answer")
                bench.stub.hold()
            bench.stub.let_go()
            driver = await bench.driver(pipeline)
            await driver.run(KEPT)
    finally:
        bench.stub.let_go()
    assert driver.record.reason.startswith("until: ")
    assert bench.calls("do x") == 1
    assert [bench.asked(f"holds: {bench.word} {asked}") for asked in ("begin x?", "again x?", "enough?")] == [1, 1, 1]


async def test_a_model_chooses_the_arguments_of_a_tool_and_may_mend_them(bench: Bench, ask: Ask, tools: Bench) -> None:
    """The tool is the real ``file``; what the model chooses first is no call of it."""

    def choose(prompt: str, body: dict[str, Any]) -> Any:
        (tool,) = body["tools"]
        assert tool["function"]["name"] == body["tool_choice"]["function"]["name"] == "file"
        path = "b.txt" if "note b" in prompt else "a.txt"
        arguments = {"action": "write", "path": path, "text": "kept"}
        if "That cannot be used" not in prompt:
            del arguments["text"]
        call = {"id": "1", "type": "function", "function": {"name": "file", "arguments": json.dumps(arguments)}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    with tools.answering(choose):
        record = await tools.run(
            on=["a", "b"],
            tool="file",
            action_loop=[
                {"name": "write", "action": f"<AUTO>{ask('note {{ $item }}')}</AUTO>"},
                {"name": "read", "arguments": {"action": "read", "path": "{{ write.arguments.path }}"}},
            ],
        )
    assert record.tally.items[ItemStatus.COMPLETED] == 2, record.tally.causes
    first, second = await tools.lines()
    assert first["steps"]["write"]["arguments"] == {"action": "write", "path": "a.txt", "text": "kept"}
    assert [line["steps"]["read"]["output"]["text"] for line in (first, second)] == ["kept", "kept"]
    assert tools.asked("note a") == 2


async def test_a_model_that_chooses_no_arguments_fails_the_step_in_words(bench: Bench, ask: Ask, tools: Bench) -> None:
    record = await tools.run(
        on=["a"],
        action_loop=[{"name": "write", "tool": "file", "action": f"<AUTO>{ask('note {{ $item }}')}</AUTO>"}],
    )
    ((cause, _),) = record.tally.commonest(1)
    assert cause.startswith(
        "actionLoop[0].action: the model's answers cannot be used, and it was told so: it is not JSON"
    )


async def test_a_tool_that_says_that_it_went_wrong_has_failed_and_its_output_is_kept(tools: Bench) -> None:
    record = await tools.run(
        on=["none.txt"],
        tool="terminal",
        action_loop=[
            {"name": "look", "arguments": {"command": "exit 3"}, "onError": "continue", "retry": {"max_attempts": 2}},
            {"name": "more", "arguments": {"command": "true"}, "if": "{{ look.ok }}"},
        ],
    )
    (line,) = await tools.lines()
    if line["steps"]["look"]["output"] is None:
        pytest.skip("no sandbox on this machine")
    assert record.tally.items[ItemStatus.COMPLETED] == 1
    look = line["steps"]["look"]
    assert (look["ok"], look["error"], look["output"]["exit_status"], look["attempts"]) == (
        False,
        "exit status 3",
        3,
        2,
    )
    assert line["steps"]["more"]["skipped"] is True


@needs_browser
async def test_sources_that_a_model_lists_are_opened_as_it_says_until_it_says_that_all_are_done(
    tools: Bench, site: Server, ask: Ask, often: None
) -> None:
    """The whole of what people write in <AUTO>, in one file; the pages are real, and so is the browser."""
    good, bad = site.url("/about"), site.url("/no-such-page")

    def answer(prompt: str, body: dict[str, Any]) -> Any:
        if prompt.startswith("extract every URL"):
            return json.dumps({"items": [good, bad]})
        if "all sources are verified" in prompt:
            return YES if "2 of 2 items have ended" in prompt else NO
        url = good if good in prompt else bad
        function = {"name": "headless-browser", "arguments": json.dumps({"url": url})}
        return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}

    with tools.answering(answer):
        record = await tools.run(
            inputs={"document": f"{ask('')} {good} {bad}", "max_checks": 1},
            on="<AUTO>extract every URL in {{ document }}</AUTO>",
            max_parallel=10,
            tool="headless-browser",
            action_loop=[
                {
                    "name": "verify",
                    "action": f"<AUTO>open {ask('{{ $item }}')} and verify that it loads</AUTO>",
                    "timeout": "2m",
                    "onError": "continue",
                },
                {
                    "name": "title",
                    "action": f"<AUTO>extract the page title of {ask('{{ $item }}')}</AUTO>",
                    "if": "{{ verify.ok }}",
                },
            ],
            until=f"<AUTO>{ask('all sources are verified or marked broken')}</AUTO>",
            **{"while": "{{ $iteration < max_checks }}"},
        )
    assert record.state is RunState.COMPLETED
    first, second = await tools.lines()
    assert (first["steps"]["verify"]["ok"], first["steps"]["title"]["output"]["title"]) == (True, "About")
    assert (second["steps"]["verify"]["error"], second["steps"]["title"]["skipped"]) == ("status 404", True)
