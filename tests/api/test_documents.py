"""Plain YAML words mean what kubectl takes them for."""

import pytest

from taskfleet.api.documents import MAX_VALUES, Unreadable, read_documents


def value(text: str) -> object:
    (document,) = read_documents(f"it: {text}")
    return document.value["it"]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("yes", True),
        ("y", True),
        ("Off", False),
        ("'off'", "off"),
        ("~", None),
        ("", None),
        ("Null", None),
        ("nil", "nil"),
        ("12", 12),
        ("-3", -3),
        ("1_000", 1000),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b11", 3),
        ("08", 8),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("1e3", 1000),
        ("5.0", 5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1),
        ("99999999999999999999", 1e20),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("30s", "30s"),
        ("=", "="),
        ('"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_a_word_means_what_kubectl_takes_it_for(text: str, meaning: object) -> None:
    found = value(text)
    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (".nan", "is no number that JSON knows"),
        ("-.inf", "is no number that JSON knows"),
        ("1e999", "is too large a number"),
        ('"\\ud83d"', "half a character"),
        ("{[a]: b}", "a key must be a word"),
        ("{a: 1, a: 2}", 'key "a" already set in map'),
        ("{<<: [1]}", "<< must name a map"),
    ],
)
def test_what_cannot_be_json_is_refused(text: str, trouble: str) -> None:
    with pytest.raises(Unreadable, match=trouble):
        value(text)


def test_merged_maps_give_way_to_what_stands_beside_them() -> None:
    (document,) = read_documents("a: &a {p: 1, q: 1}\nb: &b {q: 2, r: 2}\nc: {<<: [*a, *b], r: 3}")
    assert document.value["c"] == {"p": 1, "q": 1, "r": 3}


def test_lines_are_those_of_keys_and_items_and_of_what_is_nearest() -> None:
    (document,) = read_documents("\n\na:\n  b:\n  - c\n  -\n    d: 1\n")
    assert document.line == 3
    assert document.line_of(("a", "b", 0)) == 5
    assert document.line_of(("a", "b", 1, "d")) == 7
    assert document.line_of(("a", "b", 1, "missing", "deep")) == 7
    assert document.line_of(("nowhere",)) == 3


def test_aliases_cannot_blow_a_small_file_up() -> None:
    bomb = "\n".join(["a0: &a0 [x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)])
    assert MAX_VALUES < 9**8
    with pytest.raises(Unreadable, match="too many values"):
        list(read_documents(bomb))


def test_an_alias_inside_itself_is_refused() -> None:
    with pytest.raises(Unreadable, match="too many values"):
        list(read_documents("a: &a\n  b: *a"))
