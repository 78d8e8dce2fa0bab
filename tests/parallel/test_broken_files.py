"""A file that cannot run is refused before anything runs: with its line, its field, and what to do about it."""

from pathlib import Path

import pytest

from taskfleet.api.pipelines import load_pipeline
from taskfleet.core.errors import InvalidManifest
from taskfleet.parallel.scope import check

SAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "manifests/samples/parallel").glob("*.yaml"))
    if path.stem != "cluster"  # of several documents, for kubectl
]
PIPELINE = """\
name: checks
inputs: {most: 3}
steps:
- id: one
  action: create_parallel_queue
  parameters:
    on: [a, b]
    max_parallel: 2
    action_loop:
    - name: first
      action: "say {{ $item }}"
    - name: second
      action: "say {{ first }}"
      if: "{{ first.ok }}"
    while: "{{ $iteration < most }}"
    until: "{{ $done > 3 }}"
"""
KIND = """\
apiVersion: taskfleet.dev/v1alpha1
kind: ParallelQueue
metadata: {name: checks}
spec:
  items: [a, b]
  maxParallel: 2
  tool: http
  actionLoop:
  - name: get
    arguments: {url: "{{ $item }}"}
"""

# what is replaced, what it is replaced by, and line, field and words of the complaint
BROKEN: list[tuple[str, str, int, str, str]] = [
    ("max_parallel: 2", "max_parallel: 0", 8, "max_parallel", "greater than or equal to 1"),
    ("max_parallel: 2", "max_parallel: 20000", 8, "max_parallel", "less than or equal to 10000"),
    ("max_parallel: 2", "max_parallel: '2'", 8, "max_parallel", "valid integer"),
    (
        "max_parallel: 2",
        "max_parallell: 2",
        8,
        "max_parallell",
        "unknown field; there are items, as, actionLoop, maxParallel",
    ),
    ("on: [a, b]", "on: 3", 7, "on", "must be a list, the path of a file, or an expression"),
    ("on: [a, b]", "on: items.doc", 7, "on", "no file (.jsonl"),
    ("on: [a, b]", "on: '{{ missing }}'", 7, "on", "missing is not known here"),
    ("on: [a, b]", "on: '{{ $item }}'", 7, "on", "$item is not known here"),
    ("on: [a, b]", "on: '{{ most }} and {{ most }}'", 7, "on", "is not an expression"),
    ("on: [a, b]", "on: '{{ most }}.csv'", 7, "on", "is not an expression"),
    ("on: [a, b]", "on: 'please <AUTO>list all</AUTO>'", 7, "on", "must begin it"),
    ("    on: [a, b]\n", "", 6, "on", "is missing"),
    ("- name: first", "- name: 1st", 10, "action_loop[0].name", "match pattern"),
    ("- name: first", "- name: second", 12, "action_loop[1].name", "second is the name of an earlier step as well"),
    ("- name: first", "- name: most", 10, "action_loop[0].name", "most is an input as well"),
    ("- name: first", "- name: loop", 10, "action_loop[0].name", "a word of templates"),
    ("- name: first", "- nam: first", 10, "action_loop[0].nam", "unknown field"),
    ('action: "say {{ $item }}"', "retry: {maxAttempts: 2}", 10, "action_loop[0]", "it needs an action"),
    ('action: "say {{ $item }}"', "action: ''", 11, "action_loop[0].action", "at least 1 character"),
    ("say {{ $item }}", "say {{ $itm }}", 11, "action_loop[0].action", "$itm is not known here"),
    ("say {{ $item }}", "say {{ second }}", 11, "action_loop[0].action", "second is not known here"),
    ("say {{ $item }}", "say {{ $item", 11, "action_loop[0].action", "not a template: unexpected end of template"),
    ("say {{ $item }}", "say {% if %}", 11, "action_loop[0].action", "not a template"),
    ("say {{ $item }}", "{{ $item.__class__ }}", 11, "action_loop[0].action", "the attribute __class__ is forbidden"),
    ("say {{ $item }}", "{{ $item|attr('x') }}", 11, "action_loop[0].action", "there is no filter attr"),
    ("say {{ $item }}", "{% set x = 1 %}", 11, "action_loop[0].action", "set is forbidden"),
    ("say {{ $item }}", "{% include 'x' %}", 11, "action_loop[0].action", "include is forbidden"),
    ("say {{ $item }}", "{% macro x() %}{% endmacro %}", 11, "action_loop[0].action", "macro is forbidden"),
    ("say {{ $item }}", "{{ 9 ** 9 }}", 11, "action_loop[0].action", "** is forbidden"),
    ("say {{ $item }}", "{{ range(1000000000) }}", 11, "action_loop[0].action", "a range of 1,000,000,000 is too long"),
    (
        "say {{ $item }}",
        "{% for a in range(90000) %}{% for b in range(90000) %}{{ $item }}{% endfor %}{% endfor %}",
        11,
        "action_loop[0].action",
        "use shorter lists or fewer loops",
    ),
    (
        "say {{ $item }}",
        "{% for a in range(99999) %}say {{ $item }} once more{% endfor %}",
        11,
        "action_loop[0].action",
        "its text would be longer than 1,048,576 characters",
    ),
    ("{{ first.ok }}", "{{ range(9999999) | length > $index }}", 14, "action_loop[1].if", "is too long"),
    ("{{ $done > 3 }}", "{{ range(99999999) | length > $done }}", 16, "until", "a range of 99,999,999 is too long"),
    ("on: [a, b]", "on: '{{ range(999999) }}'", 7, "on", "a range of 999,999 is too long"),
    ("say {{ $item }}", "{{ lipsum() }}", 11, "action_loop[0].action", "lipsum() is forbidden"),
    ("say {{ $item }}", "{{ '%s'.format(1) }}", 11, "action_loop[0].action", "format() is forbidden"),
    ("say {{ $item }}", "<AUTO>x</AUTO> y", 11, "action_loop[0].action", "<AUTO> must begin it"),
    ("say {{ first }}", "say {{ first.text }}", 13, "action_loop[1].action", "a step has only ok, output, error"),
    ("{{ first.ok }}", "first.ok", 14, "action_loop[1].if", "is not an expression"),
    ("{{ first.ok }}", "{{ first.ok", 14, "action_loop[1].if", "is not an expression"),
    ("{{ first.ok }}", "{{ first.ok and }}", 14, "action_loop[1].if", "not a template"),
    ("{{ first.ok }}", "<AUTO>it is {{ second }}</AUTO>", 14, "action_loop[1].if", "second is not known here"),
    ("{{ first.ok }}", "<AUTO>it is good</AUTO>!", 14, "action_loop[1].if", "<AUTO> must begin it"),
    ("{{ first.ok }}", "<AUTO> </AUTO>", 14, "action_loop[1].if", "there is nothing between <AUTO> and </AUTO>"),
    ('      if: "{{ first.ok }}"', "      if: 3", 14, "action_loop[1].if", "must be an expression in quotes"),
    ('      if: "{{ first.ok }}"', "      timeout: 3x", 14, "action_loop[1].timeout", "not a duration"),
    ('      if: "{{ first.ok }}"', "      timeout: 1ms", 14, "action_loop[1].timeout", "from 100ms to 168h"),
    (
        '      if: "{{ first.ok }}"',
        "      onError: ignore",
        14,
        "action_loop[1].onError",
        "'continue', 'skip' or 'stop'",
    ),
    ('      if: "{{ first.ok }}"', "      retry: {max_attempts: 0}", 14, "retry.max_attempts", "greater than or equal"),
    ('      if: "{{ first.ok }}"', "      retry: 3", 14, "action_loop[1].retry", "must be a map of fields"),
    ('      if: "{{ first.ok }}"', "      tool: http", 14, "action_loop[1].tool", "or write the action as <AUTO>"),
    ('      if: "{{ first.ok }}"', "      arguments: {a: b}", 13, "action_loop[1].action", "give one of them"),
    ('      if: "{{ first.ok }}"', "      parameters: {model: x}", 14, "parameters.model", "not a parameter"),
    ("{{ $iteration < most }}", "{{ $iteration < mst }}", 15, "while", "mst is not known here"),
    ("{{ $done > 3 }}", "{{ first.ok }}", 16, "until", "first is not known here"),
    ("{{ $done > 3 }}", "<AUTO>all are {{ good }}</AUTO>", 16, "until", "good is not known here"),
    ("{{ $iteration < most }}", "go on <AUTO>if it is good</AUTO>", 15, "while", "<AUTO> must begin it"),
    ("    while:", "    as: item\n    while:", 15, "as", "$item has a meaning of its own"),
    ('action: "say {{ first }}"', "on: [1]", 13, "action_loop[1].on", "goes over them with an actionLoop"),
    ('action: "say {{ first }}"', "action_loop: [{name: x, action: x}]", 12, "action_loop[1]", "give it items"),
    ('action: "say {{ first }}"', "max_parallel: 2", 13, "action_loop[1].max_parallel", "this is for a loop"),
    (
        'action: "say {{ first }}"',
        "{on: [1], action_loop: []}"[1:-1].replace(", a", "\n      a"),
        14,
        "action_loop",
        "at least 1 item",
    ),
    ("until:", "deadline: 3\n    until:", 16, "deadline", "must be a duration with its unit"),
    ("until:", "on_until: wait\n    until:", 16, "on_until", "'finish' or 'cancel'"),
    ("- id: one", "- id: 1", 4, "steps[0].id", "valid string"),
    ("- id: one", "- ident: one", 4, "steps[0].ident", "unknown field; there are id, action, parameters"),
    ("create_parallel_queue", "create_queue", 5, "steps[0].action", "'create_parallel_queue'"),
    ("inputs: {most: 3}", "inputs: [3]", 2, "inputs", "must be a map"),
    ("inputs: {most: 3}", "inputs: {most: 3, a-b: 1}", 2, "inputs.a-b", "is no name for templates"),
    ("name: checks", "nam: checks", 1, "nam", "unknown field; there are name, inputs, steps"),
    ("on: [a, b]", "on: gone.csv", 7, "on", "there is no file"),
    ("on: [a, b]", "on: [a, b]\n    items: [c]", 7, "on", "on and items are one field"),
    ("on: [a, b]", f"on: [{'a,' * 100_001}]", 7, "on", "a list has at most 100,000 items, and this one 100,001"),
    ("on: [a, b]", "on: '<auto>list all</auto>'", 7, "on", "<AUTO> must begin it and </AUTO> end it"),
    ("on: [a, b]", "on: '<AUTO>a</AUTO><AUTO>b</AUTO>'", 7, "on", "each once"),
    ("on: [a, b]", "on: [a, *more]", 7, "", "undefined alias 'more'"),
    ("on: [a, b]", "on: &all [a, *all]", 7, "", "its aliases make too many values"),
    ("on: [a, b]", "on: !!python/name:os.system [a]", 7, "", "the tag tag:yaml.org,2002:python/name:os.system means"),
    ("on: [a, b]", "on: !mine [a]", 7, "", "the tag !mine means nothing here"),
    ("on: [a, b]", "on: .nan", 7, "", "no number that JSON knows"),
    ("max_parallel: 2", "max_parallel: true", 8, "max_parallel", "valid integer"),
    ("max_parallel: 2", "max_parallel: 1.5", 8, "max_parallel", "valid integer"),
    ("max_parallel: 2", "\tmax_parallel: 2", 8, "", "'\\t' that cannot start any token"),
    ("say {{ $item }}", "list all</AUTO>", 11, "action_loop[0].action", "</AUTO> end it"),
    ("say {{ $item }}", "  ", 11, "action_loop[0].action", "it is empty"),
    ("say {{ $item }}", "{{ $item['__class__'] }}", 11, "action_loop[0].action", "the key __class__ is forbidden"),
    ("say {{ $item }}", "{{ first }}", 11, "action_loop[0].action", "first is not known here"),
    (
        'action: "say {{ $item }}"',
        "{tool: http, arguments: {uri: x}}"[1:-1].replace(", a", "\n      a"),
        12,
        "arguments.uri",
        "http has no such argument; it takes url",
    ),
    ('action: "say {{ $item }}"', "tool: http\n      arguments: {method: GET}", 12, "arguments", "url is missing"),
    (
        'action: "say {{ $item }}"',
        "tool: http\n      arguments: {url: 'file:///etc/passwd'}",
        12,
        "arguments.url",
        "must begin with http://",
    ),
    (
        'action: "say {{ $item }}"',
        "tool: web\n      arguments: {url: 'http://a.test/', timeout: 0}",
        12,
        "arguments.timeout",
        "greater than 0",
    ),
    (
        'action: "say {{ $item }}"',
        "tool: file\n      arguments: {action: write, path: a}",
        12,
        "arguments",
        "write needs text",
    ),
    (
        'action: "say {{ $item }}"',
        "tool: http\n      arguments: {url: '<AUTO>x</AUTO>'}",
        12,
        "arguments.url",
        "a model chooses all arguments or none",
    ),
    ("name: checks", "name: ../checks", 1, "name", "'../checks' is no name: letters, digits"),
    ("name: checks", "name: ''", 1, "name", "a text of 1 to 200 characters"),
    ("name: checks", "name: [a]", 1, "name", "a text of 1 to 200 characters"),
    ("name: checks", "name: a:open", 1, "name", "is no name"),
    ("on: [a, b]", "on: [a, b", 8, "", "not YAML"),
    ("max_parallel: 2", "max_parallel: 2\n    max_parallel: 3", 9, "", "already set in map"),
]


def complaints(folder: Path, text: str) -> list[str]:
    file = folder / "broken.yaml"
    file.write_text(text)
    with pytest.raises(InvalidManifest) as refused:
        check(load_pipeline(file))
    return [line.removeprefix(f"{file}:") for line in str(refused.value).splitlines()]


@pytest.mark.parametrize(("old", "new", "line", "field", "words"), BROKEN, ids=lambda value: str(value)[:30])
def test_the_line_and_the_field_are_named(
    tmp_path: Path, old: str, new: str, line: int, field: str, words: str
) -> None:
    assert PIPELINE.count(old) == 1
    found = complaints(tmp_path, PIPELINE.replace(old, new))
    matching = [each for each in found if each.startswith(f"{line}:") and field in each and words in each]
    assert matching, found


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("kind: ParallelQueue", "kind: TaskQueue", 2, "kind: 'TaskQueue' is no ParallelQueue"),
        ("taskfleet.dev/v1alpha1", "taskfleet.dev/v1", 1, "apiVersion: must be taskfleet.dev/v1alpha1"),
        ("metadata: {name: checks}", "metadata: {}", 3, "metadata: it needs a name"),
        ("  tool: http\n", "", 9, "spec.actionLoop[0].arguments: for which tool?"),
        ("{{ $item }}", "{{ $itm }}", 10, "spec.actionLoop[0].arguments.url: $itm is not known here"),
        ("{{ $item }}", "{{ $item.__init__ }}", 10, "the attribute __init__ is forbidden"),
        ("  - name: get\n", "  - name: get\n    model: x\n", 10, "spec.actionLoop[0].model: a tool has no model"),
        ("items: [a, b]", "items: {file: x}", 5, "spec.items: must be a list, the path of a file"),
        ("items: [a, b]", "on: [a, b]", 5, "spec.on: is called items in the kind ParallelQueue, since kubectl reads"),
        ("  items: [a, b]\n", "", 4, "spec.items: is missing"),
        ("items: [a, b]", "items: '{{ gone }}'", 5, "spec.items: gone is not known here"),
        ("spec:", "status: {}\nspec:", 4, "status: unknown field"),
    ],
)
def test_the_same_holds_for_the_kind(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    found = complaints(tmp_path, KIND.replace(old, new))
    assert any(each.startswith(f"{line}: {words}") or words in each for each in found), found
    assert any(each.startswith(f"{line}:") for each in found), found


@pytest.mark.parametrize("text", [PIPELINE, KIND])
def test_what_these_are_made_from_is_whole(tmp_path: Path, text: str) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(text)
    check(load_pipeline(file))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_are_whole(sample: Path) -> None:
    check(load_pipeline(sample), {"document"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "1: it is empty"),
        (b"- 1", "1: it is no map"),
        (b"\xff", "not UTF-8"),
        (b"a: 1\n---\nb: 2", "second document"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "1: too deep"),
        (b"{a: " * 2000 + b"1" + b"}" * 2000, "1: too deep"),
    ],
)
def test_what_is_no_file_of_ours_is_said_to_be_none(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidManifest, match=words):
        load_pipeline(file)


@pytest.mark.parametrize("text", [f"\ufeff{PIPELINE}", PIPELINE.replace("\n", "\r\n"), f"---\n{PIPELINE}---\n"])
def test_files_of_other_editors_are_read_too(tmp_path: Path, text: str) -> None:
    file = tmp_path / "my checks.yaml"
    file.write_bytes(text.replace("name: checks", "#").encode())
    pipeline = load_pipeline(file)
    check(pipeline)
    assert pipeline.name == "my-checks"


def test_arguments_in_which_templates_stand_are_checked_once_they_are_filled_in(tmp_path: Path) -> None:
    step = "tool: http\n      arguments: {url: '{{ $item }}', timeout: '{{ most }}'}"
    file = tmp_path / "good.yaml"
    file.write_text(PIPELINE.replace('action: "say {{ $item }}"', step))
    check(load_pipeline(file))


def test_names_of_a_pipeline_are_each_of_one_thing(tmp_path: Path) -> None:
    second = PIPELINE.partition("steps:\n")[2]
    assert "steps[1].id: one is the id of an earlier step as well" in "\n".join(complaints(tmp_path, PIPELINE + second))
    named = PIPELINE + second.replace("id: one", "id: two").replace("name: first", "name: one").replace("first", "one")
    assert "action_loop[0].name: one is the id of an earlier queue" in "\n".join(complaints(tmp_path, named))


def test_a_model_is_told_only_of_what_every_item_has(tmp_path: Path) -> None:
    """The items of a file are not in memory: who asks for all of them is told before they are read."""
    (tmp_path / "items.txt").touch()
    (found,) = complaints(tmp_path, PIPELINE.replace("[a, b]", "items.txt").replace("{{ $item }}", "{{ $items }}"))
    assert "$items is not known here" in found
