"""A model is asked for JSON of a form: it may mend its answer twice, and what it cannot give is said in words."""

import json
from typing import Any

import pytest

from taskfleet.api.toolcalls import HttpArguments
from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.task import Priority, TaskError, TaskState, TaskView
from taskfleet.parallel.asking import MOST_TASKS, NoAnswer, Question, ask
from taskfleet.parallel.field import Field
from taskfleet.parallel.forms import HOLDS, arguments_form
from taskfleet.parallel.listing import listing
from taskfleet.parallel.manners import Form, Manners

ITEMS = listing("list all", "list all")
QUESTION = Question(Field(("until",)), "are all done?", "m", {"temperature": 0})
REFUSED = TaskError("bad_request", "no such thing here", 400)


def view(output: Any = None, state: TaskState = TaskState.COMPLETED, error: TaskError | None = None) -> TaskView:
    return TaskView("t", state, "m", Priority.NORMAL, 1, 0.0, output=output, error=error)


def call(arguments: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "x", "arguments": arguments}}]}


def asked(form: Form[Any], *answers: Any, manners: Manners | None = None) -> tuple[Any, list[dict[str, Any]]]:
    """What it comes to when the model answers so, and the tasks."""
    work = ask(QUESTION, form, manners or Manners())
    tasks = [dict(next(work))]
    for answer in answers:
        try:
            tasks.append(dict(work.send(answer if isinstance(answer, TaskView) else view(answer))))
        except StopIteration as end:
            return end.value, tasks
    raise AssertionError("it asks on")


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ('{"holds": true}', True),
        ('```json\n{"holds": false}\n```', False),
        (" true ", True),
        ({"content": "false"}, False),
    ],
)
def test_a_judgement_is_true_or_false(answer: Any, holds: bool) -> None:
    value, (task,) = asked(HOLDS, answer)
    assert value is holds
    assert task["parameters"]["temperature"] == 0
    assert task["parameters"]["response_format"]["json_schema"]["schema"] == HOLDS.schema
    assert task["prompt"].startswith("are all done?\n\nAnswer with JSON")


@pytest.mark.parametrize("answer", ["", "Yes, they are.", "1", '"true"', '{"holds": "true"}', "[true]", '{"holds": 1}'])
def test_what_is_no_judgement_may_be_mended_twice(answer: str) -> None:
    value, tasks = asked(HOLDS, answer, answer, '{"holds": true}')
    assert value is True
    assert len(tasks) == 3
    assert f"You answered:\n{answer}\n\nThat cannot be used: " in tasks[1]["prompt"]
    with pytest.raises(NoAnswer, match="until: the model's answers cannot be used, and it was told so"):
        asked(HOLDS, answer, answer, answer)


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        ('["a", 2, {"b": 1}]', ["a", 2, {"b": 1}]),
        ('{"items": ["a"]}', ["a"]),
        ("```json\n[]\n```", []),
        (' ["é"] ', ["é"]),
    ],
)
def test_items_are_a_list_of_texts_numbers_and_objects(answer: str, items: list[Any]) -> None:
    assert asked(ITEMS, answer)[0] == items


@pytest.mark.parametrize("answer", ["", "Here: [1]", '{"a": 1}', "[[1]]", "[true]", '[""]', "[null]", "[1"])
def test_what_is_no_list_of_items_is_asked_for_again(answer: str) -> None:
    value, tasks = asked(ITEMS, answer, '["good"]')
    assert value == ["good"]
    assert len(tasks) == 2


def test_items_are_asked_for_with_examples_and_each_is_taken_once() -> None:
    found, (task,) = asked(ITEMS, '["b", "a", "b", {"x": 1}, {"x": 1}]')
    assert found == ["b", "a", {"x": 1}]
    assert [message["role"] for message in task["messages"]] == ["system", *["user", "assistant"] * 2, "user"]
    assert task["messages"][-1]["content"] == "are all done?"
    for message in task["messages"]:
        if message["role"] == "assistant":
            assert ITEMS.read(json.loads(message["content"])), "the examples are good answers"


def test_addresses_that_are_listed_must_be_in_the_text_that_was_asked_about() -> None:
    text = "all in See http://a.test/x?y=1, and (https://b.test/)."
    form = listing(text, "all in {{ document }}")
    for good in (
        '["http://a.test/x?y=1", "https://b.test"]',
        '["http://a.test", {"url": "http://a.test/x"}]',
        '["see"]',
    ):
        assert asked(form, good)[0] == json.loads(good)
    for invented in (
        "http://a.test/x?y=2",
        "http://a.test/xy",
        "https://a.test/x?y=1",
        "http://c.test",
        "http://a.tes",
    ):
        found, (_, second) = asked(form, json.dumps([invented]), '["http://a.test/x?y=1"]')
        assert found == ["http://a.test/x?y=1"]
        assert f"{invented} is not in the text" in second["messages"][-1]["content"]
        schema = second["parameters"]["response_format"]["json_schema"]["schema"]
        assert schema["items"] == {"enum": ["http://a.test/x?y=1", "https://b.test/"]}, "it can name no other now"
    with pytest.raises(
        NoAnswer, match=r"until: the model.s answers cannot be used, .*: http://c\.test is not in the text"
    ):
        asked(form, *['["http://c.test"]'] * 3)
    assert "enum" not in str(asked(form, '[{"url": "http://c.test"}]', "[]")[1][1]), "a choice is of texts"


@pytest.mark.parametrize(
    ("prompt", "own_words"),
    [("ten pages of http://a.test/", "ten pages of http://a.test/"), ("sites of banks", "sites of {{ trade }}")],
)
def test_addresses_may_be_made_up_where_that_is_asked_for(prompt: str, own_words: str) -> None:
    assert asked(listing(prompt, own_words), '["http://b.test/1"]')[0] == ["http://b.test/1"]


def test_a_model_calls_a_tool_whose_arguments_are_held_to_its_schema() -> None:
    form = arguments_form("http")
    value, (task,) = asked(form, call('{"url": "http://a.test/"}'))
    assert value == {"url": "http://a.test/"}
    (tool,) = task["parameters"]["tools"]
    assert tool["function"]["name"] == "http"
    assert tool["function"]["parameters"]["required"] == ["url"]
    assert set(tool["function"]["parameters"]["properties"]) == set(HttpArguments.model_fields)
    assert task["parameters"]["tool_choice"] == {"type": "function", "function": {"name": "http"}}
    assert task["prompt"] == "are all done?"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"url": "ftp://a.test/"}', "arguments.url: it must begin with http"),
        ("{}", "arguments.url: Field required"),
        ('{"url": "http://a.test/", "speed": 3}', "arguments.speed: Extra inputs are not permitted"),
        ('{"url": 3}', "arguments.url: Input should be a valid string"),
        ('["http://a.test/"]', "it is no JSON object"),
        ('{"url": ', "it is not JSON"),
    ],
)
def test_arguments_that_the_tool_does_not_take_are_mended(arguments: str, why: str) -> None:
    value, tasks = asked(arguments_form("http"), call(arguments), call('{"url": "http://b.test/"}'))
    assert value == {"url": "http://b.test/"}
    assert why in tasks[1]["prompt"]
    with pytest.raises(NoAnswer, match="cannot be used"):
        asked(arguments_form("http"), *[call(arguments)] * 3)


def test_a_model_that_answers_with_words_in_place_of_a_call_is_read_too() -> None:
    assert asked(arguments_form("web"), '{"url": "http://a.test/"}')[0] == {"url": "http://a.test/"}


def test_a_model_that_knows_no_functions_is_asked_by_words_and_a_schema_from_then_on() -> None:
    manners = Manners()
    value, tasks = asked(arguments_form("http"), "I shall open it!", '{"url": "http://a.test/"}', manners=manners)
    assert value == {"url": "http://a.test/"}
    assert "response_format" in tasks[1]["parameters"]
    assert (manners.functions, manners.schemas) == (False, True)


def test_a_server_without_functions_and_schemas_is_asked_by_words_and_never_so_again() -> None:
    manners = Manners()
    refused = view(state=TaskState.FAILED, error=REFUSED)
    value, tasks = asked(arguments_form("http"), refused, refused, '{"url": "http://a.test/"}', manners=manners)
    assert value == {"url": "http://a.test/"}
    assert [sorted(task["parameters"]) for task in tasks] == [
        ["temperature", "tool_choice", "tools"],
        ["response_format", "temperature"],
        ["temperature"],
    ]
    assert "The JSON schema of that object: {" in tasks[2]["prompt"]
    assert (manners.functions, manners.schemas) == (False, False)
    (task,) = asked(HOLDS, "true", manners=manners)[1]
    assert sorted(task["parameters"]) == ["temperature"]
    with pytest.raises(NoAnswer, match="until: the model gave no answer: bad_request: no such thing here"):
        asked(HOLDS, refused, manners=manners)


def test_a_server_that_wants_an_object_around_an_array_gets_one() -> None:
    manners = Manners()
    found, tasks = asked(ITEMS, view(state=TaskState.FAILED, error=REFUSED), '{"items": ["a"]}', manners=manners)
    assert found == ["a"]
    first, second = (task["parameters"]["response_format"]["json_schema"]["schema"] for task in tasks)
    assert first["type"] == "array"
    assert second == {
        "type": "object",
        "properties": {"items": first},
        "required": ["items"],
        "additionalProperties": False,
    }
    assert manners == Manners(arrays=False)


def test_what_is_asked_for_is_as_likely_as_can_be_unless_the_server_or_the_file_wants_it_otherwise() -> None:
    manners, error = Manners(), TaskError("bad_request", "'temperature' does not support 0 with this model", 400)
    refused = view(state=TaskState.FAILED, error=error)
    question = Question(Field(("if",)), "is it?", "m")
    work = ask(question, HOLDS, manners)
    assert next(work)["parameters"]["temperature"] == 0
    assert "temperature" not in work.send(refused)["parameters"]
    assert manners == Manners(cold=False)
    warm = Question(Field(("if",)), "is it?", "m", {"temperature": 1})
    assert next(ask(warm, HOLDS, Manners()))["parameters"]["temperature"] == 1


def test_a_question_that_is_refused_in_every_way_teaches_nothing() -> None:
    """One that is too long for the model: the next one is not."""
    manners, refused = Manners(), view(state=TaskState.FAILED, error=REFUSED)
    with pytest.raises(NoAnswer, match="no such thing here"):
        asked(arguments_form("http"), refused, refused, refused, manners=manners)
    assert manners == Manners()


@pytest.mark.parametrize(("form", "refusals"), [(arguments_form("http"), 3), (ITEMS, 3)])
def test_refusals_and_answers_together_are_no_more_tasks_than_is_said(form: Form[Any], refusals: int) -> None:
    error = TaskError("bad_request", "no such temperature here", 400)
    work = ask(Question(Field(("on",)), "x", "m"), form, Manners())
    next(work)
    count = 1
    with pytest.raises(NoAnswer):
        for answer in (*[view(state=TaskState.FAILED, error=error)] * refusals, *[view("no")] * 3):
            work.send(answer)
            count += 1
    assert count <= MOST_TASKS
    assert count == refusals + 3


def test_a_task_that_fails_or_is_cancelled_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="until: the model gave no answer: model_error: it broke") as failed:
        asked(HOLDS, view(state=TaskState.FAILED, error=TaskError("model_error", "it broke", None)))
    assert failed.value.outcome is Outcome.FAILED
    with pytest.raises(NoAnswer) as cancelled:
        asked(HOLDS, view(state=TaskState.CANCELLED))
    assert cancelled.value.outcome is Outcome.CANCELLED


def test_the_arguments_of_a_tool_that_is_not_known_here_cannot_be_chosen() -> None:
    with pytest.raises(InputError, match="a model cannot choose the arguments of 'notes'"):
        arguments_form("notes")
