"""Who serves the tasks of a model that no healthy endpoint serves."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskfleet.core.fallbacks import chain, decide_fallbacks, model_for, rerouted

UP, DOWN, UNSEEN = (True,), (False,), (None,)
CHAIN = {"large": ["medium", "small"]}


def test_a_chain_is_a_model_s_own_fallbacks_and_then_theirs() -> None:
    fallbacks = {"a": ["b", "c"], "b": ["d"], "c": ["e", "d"]}
    assert chain("a", fallbacks) == ("b", "c", "d", "e")
    assert chain("e", fallbacks) == ()


@pytest.mark.parametrize(
    ("health", "before", "serving"),
    [
        ({"large": UP, "medium": UP}, {}, None),
        ({"large": DOWN, "medium": UP, "small": UP}, {}, "medium"),
        ({"large": DOWN, "medium": DOWN, "small": UP}, {}, "small"),
        ({"large": DOWN, "medium": DOWN, "small": DOWN}, {}, None),
        ({"large": (False, True), "medium": UP}, {}, None),
        ({"large": (False, False), "medium": UP}, {}, "medium"),
        ({"medium": UP}, {}, "medium"),
        ({"large": UP, "medium": UP}, {"large": "medium"}, None),
        # What could not be seen changes nothing.
        ({"large": UNSEEN, "medium": UP}, {}, None),
        ({"large": UNSEEN, "medium": UP}, {"large": "medium"}, "medium"),
        ({"large": (False, None), "medium": UP}, {}, None),
        ({"large": DOWN, "medium": UNSEEN, "small": UP}, {"large": "medium"}, "medium"),
        ({"large": DOWN, "medium": UNSEEN, "small": UP}, {}, "small"),
        ({"large": UNSEEN}, {"large": "gone from the chain"}, None),
        # A better one of the chain is used as soon as it is healthy.
        ({"large": DOWN, "medium": UP, "small": UP}, {"large": "small"}, "medium"),
    ],
)
def test_the_first_of_the_chain_with_a_healthy_endpoint_serves(
    health: dict[str, Any], before: dict[str, str], serving: str | None
) -> None:
    assert decide_fallbacks(CHAIN, health, before) == ({"large": serving} if serving else {})


def test_a_model_without_endpoints_falls_back_only_when_all_endpoints_were_seen() -> None:
    assert decide_fallbacks(CHAIN, {"medium": UP}, {}, all_seen=False) == {}
    assert decide_fallbacks(CHAIN, {"medium": UP}, {"large": "medium"}, all_seen=False) == {"large": "medium"}


def test_an_endpoint_serves_its_models_and_those_that_fall_back_to_them() -> None:
    serving = {"large": "small"}
    assert model_for("small", ["small"], serving) == "small"
    assert model_for("large", ["small"], serving) == "small"
    assert model_for("large", ["small", "large"], serving) == "large"
    assert model_for("medium", ["small"], serving) is None
    assert model_for("large", ["small"], {}) is None


def test_waiting_tasks_count_for_the_model_that_serves_them() -> None:
    assert rerouted({"large": 3, "small": 2, "other": 1}, {"large": "small"}) == {"small": 5, "other": 1}


_NAMES = st.sampled_from("abcdef")


@example({"a": [], "b": ["a"]}, {"a": [False], "b": [None]}, {"a": "a", "b": "a"})
@given(
    st.dictionaries(_NAMES, st.lists(_NAMES, max_size=4, unique=True)),
    st.dictionaries(_NAMES, st.lists(st.sampled_from([True, False, None]), max_size=2)),
    st.dictionaries(_NAMES, _NAMES),
)
def test_whatever_is_seen_a_decision_stands_when_it_is_made_again(
    fallbacks: dict[str, list[str]], health: dict[str, list[bool | None]], before: dict[str, str]
) -> None:
    once = decide_fallbacks(fallbacks, health, before)
    assert decide_fallbacks(fallbacks, health, once) == once
    for model, fallback in once.items():
        assert fallback in chain(model, fallbacks)
        # One whose own endpoints could not be seen stays where it is, whatever became of that.
        was_unseen = None in health.get(model, [])
        assert was_unseen or False not in health.get(fallback, []) or {True, None} & set(health[fallback])
        assert True not in health.get(model, [])
