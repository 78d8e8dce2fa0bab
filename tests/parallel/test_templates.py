"""Templates say what to ask; they reach nothing, and neither run for ever nor grow without bounds."""

from collections.abc import Callable
from typing import Any

import pytest

from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Outcome
from taskfleet.core.task import Priority, TaskState, TaskView
from taskfleet.parallel.field import Field
from taskfleet.parallel.stepresult import of_task
from taskfleet.parallel.templates import expression, template, value

LONG = "a" * 10_000


def rendered(source: str, read: Callable[[str], Any] = template, **names: Any) -> Any:
    """``item=1`` is ``$item``, ``in_x=1`` the input ``x``."""
    known = {name.removeprefix("in_") if name.startswith("in_") else f"${name}": each for name, each in names.items()}
    return read(source).render(known, Field(("field",)))


@pytest.mark.parametrize(
    ("source", "names", "text"),
    [
        ("costs $5: {{ $item }}", {"item": "x"}, "costs $5: x"),
        ("{{ $item }}", {"item": {"a": [1, None, True]}}, '{"a": [1, null, true]}'),
        ("{{ '$item' }} {# $item #}{% raw %}{{ $item }}{% endraw %}", {}, "$item {{ $item }}"),
        (
            "{% for each in $items if each %}{{ loop.index }}{{ each }} {% endfor %}",
            {"items": ["a", "", "b"]},
            "1a 2b ",
        ),
        ("{{ $items | map('upper') | join(', ') }}", {"items": ["a", "b"]}, "A, B"),
        ("{{ in_a ~ '-' ~ 1 }}", {"in_in_a": "x"}, "x-1"),
        ("{{ ('{\"a\": 3}' | fromjson).a + 1 }}", {}, "4"),
        ("{{ [1, 2.5] | sum }} {{ [1, 2] | sum }}", {}, "3.5 3"),
        ("{{ $item.split('/') | last }}", {"item": "a/b"}, "b"),
        ("{{ $item | tojson }}", {"item": "é<"}, '"é<"'),
        ("a\n", {}, "a\n"),
    ],
)
def test_what_a_template_says(source: str, names: dict[str, Any], text: str) -> None:
    assert rendered(source, **names) == text


def test_an_expression_that_stands_alone_keeps_its_type() -> None:
    assert rendered("{{ $item }}", value, item=[1, 2]) == [1, 2]
    assert rendered("{{ $items | map('upper') }}", value, items=["a"]) == ["A"]
    assert rendered("{{ $item }} {{ $item }}", value, item=1) == "1 1"
    assert rendered("{{ $index < 3 }}", expression, index=2) is True
    assert rendered("{{ '}}' }}", expression) == "}}"


def test_the_web_addresses_of_a_text_are_found_each_once() -> None:
    text = (
        "See http://a.test/x, [b](https://b.test/y_(z)) and <http://c.test>. *http://a.test/x* or http://d.test/?q=1#e!"
    )
    assert rendered("{{ $item | urls }}", value, item=text) == [
        "http://a.test/x",
        "https://b.test/y_(z)",
        "http://c.test",
        "http://d.test/?q=1#e",
    ]


def test_a_long_text_is_cut_between_its_lines() -> None:
    text = "one\ntwo\n\n\nthree four\nfive"
    assert rendered("{{ $item | pieces(8) }}", value, item=text) == ["one\ntwo", "three fo", "ur\nfive"]
    assert rendered("{{ $item | pieces(100) }}", value, item=text) == [text]
    assert rendered("{{ '' | pieces(100) }}", value) == []
    with pytest.raises(InputError, match="of how many characters"):
        rendered("{{ $item | pieces(0) }}", value, item=text)


def test_a_step_in_a_text_is_its_output() -> None:
    view = TaskView("t", TaskState.COMPLETED, "m", Priority.NORMAL, 1, 0.0, output={"a": 1})
    step, outcome = of_task(view, 0, tool=False)
    assert outcome is Outcome.OK
    assert rendered("{{ in_first }} {{ in_first.ok }} {{ in_first.output.a }}", in_in_first=step) == '{"a":1} true 1'


@pytest.mark.parametrize(
    "source",
    [
        "{{ $item['__class__'] }}",
        "{{ $item | map(attribute='__class__') | list }}",
        "{{ $items | map('attr', '__class__') | list }}",
        "{{ $item.missing.more }}",
        "{{ $items | map('no_such') | list }}",
        "{{ $items.append(1) }}",
        "{{ $item.mro() }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ joiner }}",
        "{{ namespace(a=1) }}",
        "{{ range.__self__ }}",
        "{{ loop }}",
        "{{ ().__class__.__bases__ }}",
        "{{ ''.join.__func__ }}",
        "{{ $item.items.__self__ }}",
        "{{ [].sort(*$items) }}",
        "{{ 1 / 0 }}",
        "{{ '9' | fromjson | fromjson | fromjson + 'x' }}",
    ],
)
def test_what_reaches_further_is_refused(source: str) -> None:
    with pytest.raises(InputError):
        rendered(source, item={"a": 1}, items=["a"])


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}" + "a" * 100 + "{% endfor %}",
        "{{ 'a' * 100000000 }}",
        "{{ $items * 100000000 }}",
        "{{ range(1000000000) }}",
        "{{ 'aaaaaaaaaa' | replace('a', in_long) | replace('a', in_long) | replace('a', in_long) | length }}",
        "{{ [in_long] | join(in_long) }}{% for a in range(1000) %}{{ in_long ~ in_long }}{% endfor %}",
        "{{ '%1000000000d' % 3 }}",
        "{% for a in range(90000) %}{{ range(90000) | sort | length }}{% endfor %}",
        "{{ range(100000) | list | tojson ~ (range(100000) | list | tojson) }}",
        "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
        "{{ $items | sum }}",
        "{{ $items | map('replace', 'a', in_long ~ in_long) | list | length }}",
        "{{ [" + "in_long ~ in_long, " * 2000 + "] | length }}",
        "{{ [" + "in_long + in_long, " * 2000 + "] | length }}",
        "{{ [" + "in_long.upper(), " * 2000 + "] | length }}",
        "{{ [" + "in_long[1:], " * 2000 + "] | length }}",
        "{{ 1" + " + 1" * 20_000 + " }}",
        "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    ],
    ids=lambda source: source[:40],
)
def test_what_would_never_end_or_grow_too_large_is_refused(source: str) -> None:
    with pytest.raises(InputError):
        rendered(source, items=["a"] * 1000, in_in_long=LONG)


def test_an_error_names_the_field_and_the_name_as_it_was_written() -> None:
    with pytest.raises(InputError, match=r"^field: 'dict object' has no attribute 'x'$"):
        rendered("{{ $item.x }}", item={})
    with pytest.raises(InputError, match=r"^field: '\$item' is undefined$"):
        rendered("{{ $item }}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a'.upper }}",
        "{{ [range(3)] }}",
        "{{ [{'a': 'x'.upper}] }}",
        "{{ [123456789012345678901234567890] }}",
        "{{ ['\\ud83d'] }}",
        "{{ {1: 2} }}",
    ],
)
def test_a_value_is_what_json_can_hold(source: str) -> None:
    """It becomes an item or an argument, and both are written down."""
    with pytest.raises(InputError, match="field: its value is nothing that JSON has: "):
        rendered(source, value)


def test_what_can_be_gone_through_is_a_list() -> None:
    assert rendered("{{ (1, 2) }}", value) == [1, 2]
    assert rendered("{{ {'a': 1}.items() }}", value) == [("a", 1)]


@pytest.mark.parametrize("source", ["{{ [1] | dictsort }}", "{{ '\\ud83d' }}", "{{ $item | pieces }}"])
def test_whatever_breaks_a_template_is_said_of_its_field(source: str) -> None:
    with pytest.raises(InputError, match=r"^field: \S"):
        rendered(source, item="x")
