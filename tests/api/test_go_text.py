"""Values in errors look as Go prints them, since the API server is written in Go."""

import pytest

from taskfleet.api.fielderrors import go_plain, go_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.5, "1.5"),
        (123456.5, "123456.5"),
        (1234567.5, "1.2345675e+06"),
        (1e22, "1e+22"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-0.5, "-0.5"),
        (True, "true"),
        (12, "12"),
        ("plain", '"plain"'),
        ('a"\\\n\t', r'"a\"\\\n\t"'),
        ("\x00\x7f\u00a0", r'"\x00\x7f\u00a0"'),
        ("ü\U0001f600", '"ü\U0001f600"'),
        ({"b": 1, "a": "<x>"}, r'{"a":"\u003cx\u003e","b":1}'),
        ([1, "a"], '[1,"a"]'),
    ],
)
def test_a_value_looks_as_in_go(value: object, text: str) -> None:
    assert go_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), ([1, None, "x"], "[1 <nil> x]"), ({"b": [], "a": False}, "map[a:false b:[]]")]
)
def test_a_plain_value_looks_as_in_go(value: object, text: str) -> None:
    assert go_plain(value) == text
