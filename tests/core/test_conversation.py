"""What a call of a session brings along from the turns before it."""

import json
from typing import Any

import pytest

from taskfleet.core.conversation import continued, turn_of


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be short."}
FIRST = [user("one?"), said("1")]
SECOND = [user("two?"), said("2")]


def test_the_first_call_is_only_what_it_asks() -> None:
    assert continued([SYSTEM, user("one?")], [], 100).messages == [SYSTEM, user("one?")]


def test_earlier_turns_come_before_what_is_asked_now() -> None:
    found = continued([user("three?")], [FIRST, SECOND], 100)
    assert found.messages == [*FIRST, *SECOND, user("three?")]
    assert found.forgotten == 0


def test_the_oldest_turns_are_forgotten_first_and_whole() -> None:
    long = [user("x" * 400), said("y")]
    found = continued([user("now?")], [long, FIRST, SECOND], 60)
    assert found.messages == [*FIRST, *SECOND, user("now?")]
    assert found.forgotten == 1


def test_what_is_asked_now_is_never_cut() -> None:
    found = continued([user("z" * 4000)], [FIRST, SECOND], 1)
    assert found.messages == [user("z" * 4000)]
    assert found.forgotten == 2


def test_instructions_are_carried_on_until_a_call_brings_its_own() -> None:
    first = turn_of([SYSTEM, user("one?")], [SYSTEM, user("one?")], "1")
    second = continued([user("two?")], [first], 100)
    assert second.messages == [SYSTEM, *FIRST, user("two?")]
    turn = turn_of([user("two?")], second.messages, "2")
    assert turn == [SYSTEM, *SECOND], "also when the first turn is forgotten"
    other = {"role": "system", "content": "Be long."}
    assert continued([other, user("three?")], [first, turn], 100).messages == [other, *FIRST, *SECOND, user("three?")]


def test_an_answer_that_is_more_than_text_is_kept_as_it_is() -> None:
    calls = {"content": None, "tool_calls": [{"id": "1"}]}
    assert turn_of([user("go")], [user("go")], calls)[-1] == {"role": "assistant", **calls}


@pytest.mark.parametrize("output", [5, None, True, [1, "é"], {"label": "good"}, {"choices": []}, {"choices": [5]}])
def test_what_is_no_message_is_said_as_json(output: Any) -> None:
    *_, answer = turn_of([user("go")], [user("go")], output)
    assert answer == said(json.dumps(output, ensure_ascii=False))


def test_of_a_whole_answer_what_was_said_is_kept() -> None:
    answer = {"id": "c-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "1"}}]}
    assert turn_of([user("one?")], [user("one?")], answer) == FIRST
