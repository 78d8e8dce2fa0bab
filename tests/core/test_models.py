"""Which model a requested name means: an exact rule, so that a person can foresee it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.errors import UnknownModel
from taskfleet.core.models import MEANINGS, OfferedModel, explain_model, resolve_model

SMALL = OfferedModel("smollm2", ("small",), ("chat",), "quick and cheap")
CODER = OfferedModel("qwen2.5-coder", ("qwen",), ("tools", "de"))
THINKER = OfferedModel("deep-r", (), ("thinking", "tools"), "for hard questions, not fast")
MODELS = (SMALL, CODER, THINKER)


@pytest.mark.parametrize(
    ("asked", "model", "step"),
    [
        (None, "deep-r", "default"),
        ("smollm2", "smollm2", "name"),
        ("small", "smollm2", "alias"),
        ("tools", "qwen2.5-coder", "tag"),
        ("chat", "smollm2", "tag"),
        ("reasoning", "deep-r", "meaning"),
        ("coding", "qwen2.5-coder", "meaning"),
        ("Coding", "qwen2.5-coder", "meaning"),
        ("fast", "smollm2", "meaning"),
        ("cheap", "smollm2", "meaning"),
    ],
)
def test_a_name_finds_its_model_by_the_first_step_that_has_one(asked: str | None, model: str, step: str) -> None:
    found = explain_model(asked, MODELS, "deep-r")
    assert (found.model, found.step) == (model, step)
    assert resolve_model(asked, MODELS, "deep-r") == model


def test_a_tag_comes_before_a_name_and_a_name_before_a_description() -> None:
    described, named, tagged = (
        OfferedModel("a", description="quick"),
        OfferedModel("b-mini"),
        OfferedModel("c", tags=("turbo",)),
    )
    assert resolve_model("fast", (described, named, tagged), "a") == "c"
    assert resolve_model("fast", (described, named), "a") == "b-mini"
    assert resolve_model("fast", (described, OfferedModel("d")), "d") == "a"


@pytest.mark.parametrize(
    "name", ["deepseek-r1", "deepseek-r1:8b", "DeepSeek_R1", "o1-mini", "o3", "qwq-32b", "Qwen3-4B-Thinking"]
)
def test_models_that_reason_are_known_by_their_names(name: str) -> None:
    assert resolve_model("reasoning", (OfferedModel("llama-3"), OfferedModel(name)), "llama-3") == name


@pytest.mark.parametrize("name", ["r12", "pro1", "o1x", "llama-3-r"])
def test_a_letter_and_a_digit_are_a_word_only_alone(name: str) -> None:
    with pytest.raises(UnknownModel):
        resolve_model("reasoning", (OfferedModel(name),), name)


def test_a_word_is_a_whole_word() -> None:
    with pytest.raises(UnknownModel):
        resolve_model("fast", (OfferedModel("breakfast-7b", description="minimal"),), "breakfast-7b")


def test_the_reason_names_what_was_found_and_where() -> None:
    assert explain_model("qwen", MODELS, "deep-r").why == "qwen is an alias of qwen2.5-coder"
    assert explain_model("coding", MODELS, "deep-r").why == (
        "coding stands for code, coder, coding, programming, which is in the name of qwen2.5-coder"
    )


@pytest.mark.parametrize("asked", ["gpt-9", "", "SMOLLM2", "Small", "vision"])
def test_what_nothing_stands_for_is_refused_with_the_names_on_offer(asked: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        resolve_model(asked, MODELS, "deep-r")
    assert str(refused.value) == (
        f"model: {asked!r} is not offered by this queue; "
        "it offers: smollm2, small, chat, qwen2.5-coder, qwen, tools, de, deep-r, thinking"
    )


words = st.sampled_from(["a", "b", "fast", "coder", "tiny", "x-coder"])
models = st.builds(OfferedModel, words, st.tuples(words), st.tuples(words), st.sampled_from(["", "a fast one", "b"]))


@given(st.lists(models, min_size=1, max_size=4), words | st.sampled_from(sorted(MEANINGS)))
def test_the_answer_is_a_model_on_offer_and_an_exact_name_always_wins(offered: list[OfferedModel], asked: str) -> None:
    names = [model.name for model in offered]
    try:
        found = resolve_model(asked, offered, names[0])
    except UnknownModel:
        assert asked not in names
    else:
        assert found in names
        assert found == asked or asked not in names
