"""Task lines: what is accepted, and the words for what is not."""

import json
import re
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.api.resultline import result_line
from taskfleet.api.taskbody import decode_body
from taskfleet.api.tasklines import line_of_id, read_task_lines
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.taskreader import task_from_prompt
from taskfleet.core.errors import DuplicateTask, InvalidTask, TaskfleetError, UnknownModel
from taskfleet.core.operation import Operation
from taskfleet.core.task import Priority, TaskError, TaskState, TaskView, Usage

TOOLS = [{"name": "http", "aliases": ["fetch"]}, {"name": "file"}, {"name": "our-own"}]
SPEC = TaskQueueSpec.model_validate(
    {
        "models": [{"name": "smollm2", "aliases": ["fast"]}, {"name": "qwen"}, *TOOLS],
        "defaultModel": "qwen",
        "limits": {"maxTaskBytes": "1Ki"},
    }
)


def parse(line: bytes | dict[str, Any]) -> Any:
    """The task of line 7."""
    written = line if isinstance(line, bytes) else json.dumps(line).encode()
    return next(read_task_lines([b"\n"] * 6 + [written], spec=SPEC))


def test_a_whole_line_becomes_a_task() -> None:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    task = parse(
        {
            "id": "t-1",
            "model": "fast",
            "messages": messages,
            "priority": "high",
            "parameters": {"temperature": 0, "max_tokens": 5},
            "metadata": {"row": 2},
        }
    )
    assert (task.id, task.model, task.priority) == ("t-1", "smollm2", Priority.HIGH)
    body = decode_body(task.body)
    assert body.messages == messages
    assert body.parameters == {"temperature": 0, "max_tokens": 5}
    assert body.metadata == {"row": 2}


@pytest.mark.parametrize("tool", ["editor", "x", "a tool with spaces", "x" * 256])
def test_a_hint_for_an_agent_stays_with_the_task(tool: str) -> None:
    assert decode_body(parse({"prompt": "Hi", "tool": tool}).body).tool == tool
    assert decode_body(parse({"prompt": "Hi"}).body).tool is None


def test_a_line_with_arguments_is_the_call_of_a_tool_on_the_lane_of_its_name() -> None:
    task = parse({"tool": "fetch", "arguments": {"url": "https://example.com/"}, "session": "s"})
    body = decode_body(task.body)
    assert (task.model, task.session) == ("http", "s")
    assert (body.tool, body.arguments, body.messages) == ("fetch", {"url": "https://example.com/"}, [])


def test_arguments_of_a_tool_that_is_not_known_here_are_left_to_its_workers() -> None:
    assert decode_body(parse({"tool": "our-own", "arguments": {"any": 1}}).body).arguments == {"any": 1}


def test_a_tool_that_the_queue_does_not_offer_is_refused() -> None:
    with pytest.raises(UnknownModel, match="line 7: tool: 'terminal' is not offered by this queue, which has the mod"):
        parse({"tool": "terminal", "arguments": {"command": "true"}})


def test_a_task_may_be_one_of_openais_calls() -> None:
    body = decode_body(parse({"operation": "embeddings", "parameters": {"input": ["a", "b"]}}).body)
    assert (body.operation, body.messages, body.parameters) == (Operation.EMBEDDINGS, [], {"input": ["a", "b"]})
    assert decode_body(parse({"operation": "chat.completions", "prompt": "Hi"}).body).operation is Operation.CHAT
    assert decode_body(parse({"prompt": "Hi"}).body).operation is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            {"operation": "sing", "prompt": "Hi"},
            '"sing" is none of chat.completions, completions, embeddings',
        ),
        ({"operation": 7, "prompt": "Hi"}, "operation: 7 is none of"),
        ({"operation": "completions", "prompt": "Hi"}, "prompt: with this operation it belongs into parameters.prompt"),
        ({"operation": "embeddings", "parameters": {}}, "parameters.input: it must be given"),
    ],
)
def test_an_operation_that_is_none_or_lacks_its_question_is_refused(line: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidTask, match=re.escape(says)):
        parse(line)


def test_a_task_that_is_nested_too_deep_to_be_written_is_refused() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    with pytest.raises(InvalidTask, match="nest its values less deep"):
        parse({"prompt": "Hi", "parameters": {"deep": deep}})


def test_a_prompt_alone_is_enough() -> None:
    one, other = parse({"prompt": "Hi"}), parse({"prompt": "Hi", "id": None, "model": None, "metadata": None})
    assert one.id != other.id
    assert (one.model, one.priority) == ("qwen", Priority.NORMAL)
    assert decode_body(one.body).messages == [{"role": "user", "content": "Hi"}]
    assert one.body == other.body


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{", "not JSON: "),
        (b'{"prompt": "a",}', "not JSON: "),
        (b'{"prompt": NaN}', "NaN and Infinity are not JSON, write null or a number"),
        (b'{"prompt": "a"},', "each task must be on one line of its own, without commas between"),
        (b'{"prompt": "\\ud800"}', "not JSON: "),
        (b'{"prompt": "\xff"}', "not UTF-8: byte 13 of the line is 0xff; save the file as UTF-8"),
        (b"[" * 5000, "not JSON: "),
        (b"[]", "this line is an array"),
        (b"3", "this line is a plain value"),
        ({"prompt": "a", "user": "me"}, "user: unknown field; a task has only id, idempotency_key, model,"),
        ({"prompt": "a", "tenant": "a:b"}, 'tenant: "a:b" is not a name: 1 to 63 letters, digits and . _ -,'),
        ({"prompt": "a", "tenant": ""}, 'tenant: "" is not a name'),
        ({"prompt": "a", "tenant": "x" * 64}, "is not a name: 1 to 63"),
        ({"prompt": "a", "idempotency_key": ""}, 'idempotency_key: "" is not a key: a string of 1 to 255'),
        ({"prompt": "a", "idempotency_key": "k", "id": "t"}, "idempotency_key: both id and idempotency_key are given"),
        ({"prompt": "a", "session": 7}, "session: 7 is not a name: 1 to 128 letters"),
        ({"prompt": "a", "session": "s", "delay": "1s"}, "session: its tasks run in the order in which they come, and"),
        ({"prompt": "a", "unknown": None}, "unknown: unknown field"),
        ({"prompt": "a", "tool": ""}, 'tool: "" is not a hint: one line of 1 to 256 characters, such as editor'),
        ({"prompt": "a", "tool": "two\nlines"}, "tool: "),
        ({"prompt": "a", "tool": "two\u2028lines"}, "tool: "),
        ({"prompt": "a", "tool": " "}, "tool: "),
        ({"prompt": "a", "tool": ["editor"]}, 'tool: ["editor"] is not a hint'),
        ({"prompt": "a", "tool": "x" * 257}, "tool: "),
        ({"arguments": {}}, "tool: it is missing; arguments are those of a tool, name it"),
        ({"tool": "http", "arguments": []}, "arguments: [] is not an object"),
        ({"tool": "http", "arguments": {}}, "arguments.url: Field required (it takes url, method, headers, body, "),
        (
            {"tool": "http", "arguments": {"url": "https://a/"}, "prompt": "a"},
            "prompt: a task with arguments calls a tool",
        ),
        ({"tool": "http", "arguments": {"url": "https://a/"}, "model": "qwen"}, "model: a task with arguments calls a"),
        ({"tool": "http", "arguments": {"url": "https://a/"}, "stream": True}, "stream: a task with arguments calls a"),
        ({"tool": "http", "arguments": {"url": "https://a/", "verb": "GET"}}, "arguments.verb: Extra inputs are not"),
        ({"tool": "http", "arguments": {"url": "file:///etc/passwd"}}, "arguments.url: it must begin with http://"),
        ({"tool": "http", "arguments": {"url": "http://me:pw@a/"}}, "arguments.url: it must not contain a user"),
        ({"tool": "http", "arguments": {"url": "http://a/ b"}}, "arguments.url: it has spaces or control characters"),
        ({"tool": "http", "arguments": {"url": "http://a:99999/"}}, "arguments.url: Port out of range 0-65535"),
        (
            {"tool": "http", "arguments": {"url": "http://a/", "headers": {"X": "a\r\nY: b"}}},
            "arguments.headers: there is a line break in the value of X",
        ),
        (
            {"tool": "http", "arguments": {"url": "http://a/", "headers": {"Host": "b"}}},
            "arguments.headers: Host is set by the tool; remove it",
        ),
        (
            {"tool": "http", "arguments": {"url": "http://a/", "timeout": 0}},
            "arguments.timeout: Input should be greater",
        ),
        ({"tool": "file", "arguments": {"action": "write", "path": "a"}}, "arguments: write needs text or base64"),
        ({}, "prompt: neither prompt nor messages is given; give one of the two"),
        ({"prompt": None}, "prompt: neither prompt nor messages is given"),
        ({"prompt": "a", "messages": []}, "prompt: both prompt and messages are given"),
        ({"prompt": 3}, "prompt: 3 is not a string"),
        ({"prompt": " \n"}, "prompt: it is empty"),
        ({"messages": []}, "messages: it is empty"),
        ({"messages": "Hi"}, "messages: not an array of objects"),
        ({"messages": ["Hi"]}, "messages[0]: not an object"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"content": "b"}]},
            "messages[1].role: it is missing; use one",
        ),
        ({"messages": [{"role": "robot", "content": "b"}]}, "messages[0].role: 'robot' is no role; use one of system,"),
        ({"messages": [{"role": ["user"], "content": "b"}]}, "messages[0].role: ['user'] is no role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: it is missing"),
        (
            {"messages": [{"role": "user", "content": 3}]},
            "messages[0].content: it must be a string or an array of parts",
        ),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content: it must be a string or an array"),
        ({"prompt": "a", "id": 5}, "id: 5 is not an id: a string of 1 to 128 letters, digits and . _ : -"),
        ({"prompt": "a", "id": ""}, 'id: "" is not an id'),
        ({"prompt": "a", "id": "a b"}, 'id: "a b" is not an id'),
        ({"prompt": "a", "id": "a\n"}, "is not an id"),
        ({"prompt": "a", "id": "x" * 129}, "is not an id"),
        ({"prompt": "a", "model": 5}, "model: 5 is not a string"),
        ({"prompt": "a", "priority": "urgent"}, 'priority: "urgent" is none of critical, high, normal, low'),
        ({"prompt": "a", "priority": "HIGH"}, 'priority: "HIGH" is none of'),
        ({"prompt": "a", "priority": 1}, "priority: 1 is none of critical, high, normal, low"),
        ({"prompt": "a", "parameters": [1]}, "parameters: [1] is not an object"),
        (
            {"prompt": "a", "parameters": {"model": "x"}},
            "parameters.model: not a parameter; give it as the field model",
        ),
        ({"prompt": "a", "parameters": {"messages": []}}, "parameters.messages: not a parameter"),
        (
            {"prompt": "a", "parameters": {"stream": True}},
            "parameters.stream: not a parameter; give it",
        ),
        ({"prompt": "a", "metadata": "x"}, 'metadata: "x" is not an object'),
        ({"prompt": "x" * 1000}, "bytes as JSON and the queue takes at most 1024 (limits.maxTaskBytes: 1Ki)"),
    ],
)
def test_a_bad_line_is_named_with_field_and_fix(line: bytes | dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidTask) as refused:
        parse(line)
    assert str(refused.value).startswith("line 7: ")
    assert text in str(refused.value)


def test_an_unknown_model_is_answered_with_what_is_offered() -> None:
    with pytest.raises(UnknownModel) as refused:
        parse({"prompt": "a", "model": "gpt"})
    offered = "smollm2, fast, qwen, http, fetch, file, our-own"
    assert str(refused.value) == f"line 7: model: 'gpt' is not offered by this queue; it offers: {offered}"


def test_an_assistant_may_say_nothing_when_it_calls_a_tool() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]}
    answer = {"role": "tool", "tool_call_id": "c", "content": "4"}
    picture = {"role": "user", "content": [{"type": "text", "text": "What is it?"}]}
    assert decode_body(parse({"messages": [picture, call, answer]}).body).messages == [picture, call, answer]


def test_a_task_of_exactly_the_limit_is_accepted() -> None:
    room = 1024 - len(parse({"prompt": "a"}).body) + 1
    assert len(parse({"prompt": "a" * room}).body) == 1024
    with pytest.raises(InvalidTask, match="1025 bytes"):
        parse({"prompt": "a" * (room + 1)})


def test_byte_order_mark_windows_line_ends_and_blank_lines_do_no_harm() -> None:
    lines = [b'\xef\xbb\xbf{"prompt": "a"}\r\n', b"\r\n", b"   \n", b'{"prompt": "b"}']
    prompts = [decode_body(task.body).messages[0]["content"] for task in read_task_lines(lines, spec=SPEC)]
    assert prompts == ["a", "b"]


def test_blank_lines_count_as_lines() -> None:
    with pytest.raises(InvalidTask, match=r"^line 3: not JSON"):
        list(read_task_lines([b'{"prompt": "a"}\n', b"\n", b"oops\n"], spec=SPEC))


def test_the_line_of_an_id_is_that_which_gives_it_and_not_one_that_mentions_it() -> None:
    lines = [b'\xef\xbb\xbf{"id": "t-1", "prompt": "t-2"}\r\n', b"\n", b'{"id": "t-2", "prompt": "a"}\n']
    assert [line_of_id(lines, task_id) for task_id in ("t-1", "t-2", "t-3")] == [1, 3, None]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "there are no tasks in this file: it is empty; write one JSON object on each line"),
        ([b"\xef\xbb\xbf"], "there are no tasks in this file: it has only blank lines"),
        ([b"\n", b"\r\n"], "there are no tasks in this file: it has only blank lines"),
        (['{"prompt": "a"}\n'.encode("utf-16")], "line 1: the file is UTF-16; save it as UTF-8"),
        (
            ['{"prompt": "caf\xe9"}\n'.encode("latin-1")],
            "line 1: not UTF-8: byte 16 of the line is 0xe9; save",
        ),
    ],
)
def test_a_file_without_tasks_says_what_it_is(lines: list[bytes], text: str) -> None:
    with pytest.raises(InvalidTask, match=text.replace("(", r"\(")):
        list(read_task_lines(lines, spec=SPEC))


def test_one_id_on_two_lines_is_refused_with_both_lines() -> None:
    lines = [b'{"id": "a", "prompt": "x"}', b'{"id": "b", "prompt": "x"}', b'{"id": "a", "prompt": "x"}']
    with pytest.raises(DuplicateTask) as refused:
        list(read_task_lines(lines, spec=SPEC))
    assert str(refused.value) == "line 3: id: 'a' is already on line 1; ids must be unique"
    assert refused.value.task_id == "a"


def test_a_long_file_is_read_as_it_goes_in_little_memory() -> None:
    spec = TaskQueueSpec.model_validate({"models": [{"name": "smollm2"}]})
    line = json.dumps({"prompt": "x" * 2000}).encode() + b"\n"
    count = 5000

    def lines() -> Iterator[bytes]:
        return (line for _ in range(count))

    tracemalloc.start()
    try:
        assert sum(1 for _ in read_task_lines(lines(), spec=spec)) == count
        assert tracemalloc.get_traced_memory()[1] < count * len(line) / 5
    finally:
        tracemalloc.stop()


def test_a_prompt_of_the_command_line_has_the_same_rules() -> None:
    task = task_from_prompt("Hi", spec=SPEC, model="fast", priority="low", task_id="t-9", metadata={"a": 1})
    assert (task.id, task.model, task.priority) == ("t-9", "smollm2", Priority.LOW)
    with pytest.raises(InvalidTask, match=r"^prompt: it is empty"):
        task_from_prompt("", spec=SPEC)
    with pytest.raises(UnknownModel, match=r"^model: 'gpt' is not offered"):
        task_from_prompt("Hi", spec=SPEC, model="gpt")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"prompt": "a"}', b"\xff", b"null"])
def test_a_stored_body_that_is_not_ours_is_an_error_and_not_a_crash(body: bytes) -> None:
    with pytest.raises(InvalidTask, match="not one that Taskfleet wrote"):
        decode_body(body)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_a_task_or_an_error_of_ours(line: bytes) -> None:
    try:
        decode_body(parse(line).body)
    except TaskfleetError as error:
        assert str(error).startswith("line 7: ") or not line.strip()


def test_a_result_line_has_every_field_also_when_nothing_happened_yet() -> None:
    view = TaskView("t-1", TaskState.PENDING, "smollm2", Priority.NORMAL, attempts=0, enqueued_at=1.0)
    assert result_line(view) == {
        "id": "t-1",
        "status": "pending",
        "output": None,
        "error": None,
        "attempts": 0,
        "model": "smollm2",
        "requested_model": "smollm2",
        "endpoint": None,
        "usage": None,
        "queue_seconds": None,
        "run_seconds": None,
        "metadata": {},
    }


def test_a_result_line_carries_error_usage_and_metadata_as_plain_data() -> None:
    view = TaskView(
        "t-1",
        TaskState.FAILED,
        "smollm2",
        Priority.NORMAL,
        attempts=2,
        enqueued_at=1.0,
        error=TaskError("bad_request", "no", 400),
        usage=Usage(3, 4),
        metadata={"row": 1},
    )
    line = json.loads(json.dumps(result_line(view)))
    assert line["error"] == {"code": "bad_request", "message": "no", "status": 400}
    assert line["usage"] == {"input_tokens": 3, "output_tokens": 4}
    assert line["metadata"] == {"row": 1}


def test_a_delay_and_a_deadline_are_read() -> None:
    task = parse({"prompt": "x", "delay": "1m30s", "deadline": "2099-01-31T18:00:00+01:00"})
    assert (task.delay, task.not_before, task.deadline) == (90.0, None, 4073562000.0)
    soon = time.time() + 3600
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon))
    assert parse({"prompt": "x", "not_before": moment}).not_before == int(soon)
    assert parse({"prompt": "x", "not_before": "2001-01-01T00:00:00Z"}).not_before == 978307200.0
    plain = parse({"prompt": "x", "delay": None})
    assert (plain.delay, plain.not_before, plain.deadline) == (0.0, None, None)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"delay": 30}, "delay: 30 is not a duration"),
        ({"delay": "soon"}, "delay: 'soon' is not a duration"),
        ({"delay": "-5s"}, "delay: '-5s' is not a duration"),
        ({"delay": "8761h"}, "delay: '8761h' is not a duration of at most 8760h"),
        ({"delay": "1s", "not_before": "2099-01-01T00:00:00Z"}, "delay: both delay and not_before are given"),
        ({"not_before": "2099-01-01T00:00:00Z"}, "not_before: 2099-01-01T00:00:00Z is more than a year"),
        ({"not_before": "2099-01-01T00:00:00"}, "not_before: '2099-01-01T00:00:00' is not a time in RFC 3339"),
        ({"deadline": "tomorrow"}, "deadline: 'tomorrow' is not a time in RFC 3339 with its zone"),
        ({"deadline": 1700000000}, "deadline: 1700000000 is not a time"),
        ({"deadline": "2099-02-30T00:00:00Z"}, "deadline: '2099-02-30T00:00:00Z' is not a time"),
        ({"deadline": "2001-01-01T00:00:00Z"}, "deadline: 2001-01-01T00:00:00Z has passed"),
    ],
)
def test_times_that_cannot_be_meant_are_refused_by_name(times: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        parse({"prompt": "x"} | times)
    assert str(caught.value).startswith(f"line 7: {words}")


def test_a_deadline_before_the_delay_ends_is_refused() -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    with pytest.raises(InvalidTask, match=r"deadline: .* comes before the task may run"):
        parse({"prompt": "x", "delay": "1h", "deadline": moment})
