"""Tokens of a call, estimated before it is made."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.tokens import ANSWER_TOKENS, TOKENS_PER_PICTURE, estimate_tokens

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


def of(content: Any, **parameters: Any) -> int:
    return estimate_tokens([{"role": "user", "content": content}], parameters, 0)


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ({}, ANSWER_TOKENS),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"options": {"num_predict": 30}}, 30),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"max_tokens": None}, ANSWER_TOKENS),
        ({"max_tokens": True, "n": 0}, ANSWER_TOKENS),
        ({"options": {"num_predict": -1}}, ANSWER_TOKENS),
        ({"options": "fast", "max_tokens": "many"}, ANSWER_TOKENS),
    ],
)
def test_an_answer_counts_as_long_as_it_may_become(parameters: dict[str, Any], answer: int) -> None:
    asked = estimate_tokens(HELLO, {"max_tokens": 1}) - 1
    assert estimate_tokens(HELLO, parameters) == asked + answer


def test_four_bytes_of_text_are_a_token_in_any_script() -> None:
    assert of("x" * 4000) - of("") == 1000
    assert of("\N{SNOWMAN}" * 4000) - of("") == 3000


def test_a_picture_counts_as_one_however_long_its_data() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    assert of([picture]) - of([]) == TOKENS_PER_PICTURE
    assert of([{"type": "text", "text": "what is it?"}, picture]) > of([picture])


def test_tools_are_read_by_the_model_too() -> None:
    tool = {"type": "function", "function": {"name": "search", "description": "x" * 400}}
    assert of("hello", tools=[tool]) >= of("hello") + 100


def test_where_answers_have_no_maximum_the_usual_one_counts() -> None:
    assert estimate_tokens(HELLO, {}, 700.0) - estimate_tokens(HELLO, {}, 100.0) == 600
    assert estimate_tokens(HELLO, {"max_tokens": 5}, 700.0) == estimate_tokens(HELLO, {"max_tokens": 5}, 100.0)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(st.text(), _JSON, max_size=4), max_size=3), st.dictionaries(st.text(), _JSON, max_size=4)
)
def test_whatever_a_task_says_it_costs_at_least_one_token(
    messages: list[dict[str, Any]], parameters: dict[str, Any]
) -> None:
    assert estimate_tokens(messages, parameters) >= 1
