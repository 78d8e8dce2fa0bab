"""What a client sends wrong is told in OpenAI's shape, with the field; it never breaks the gateway."""

import asyncio
from typing import Any

import orjson
import pytest

from tests.gateway.conftest import Site

HELLO = [{"role": "user", "content": "Hi"}]
CHAT = "/v1/chat/completions"

WRONG_BODIES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "body"),
    ("not JSON", b"hello", "body"),
    ("cut", b'{"messages": [', "body"),
    ("NaN", b'{"messages": [], "temperature": NaN}', "body"),
    ("a lone surrogate", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "body"),
    ("not UTF-8", b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}', "body"),
    ("UTF-16", '{"messages": []}'.encode("utf-16"), "body"),
    ("an array", b"[]", "body"),
    ("null", b"null", "body"),
    ("too deep to read", b'{"messages": ' + b"[" * 3000 + b"]" * 3000 + b"}", "body"),
]
DEEP: Any = "x"
for _ in range(400):
    DEEP = [DEEP]
WRONG_FIELDS: list[tuple[dict[str, Any], str | None]] = [
    ({}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": {}, "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"messages": HELLO, "model": 7}, "model"),
    ({"messages": HELLO, "model": ["stub"]}, "model"),
    ({"messages": HELLO, "stream": "yes"}, "stream"),
    ({"messages": HELLO, "taskfleet": []}, "taskfleet"),
    ({"messages": HELLO, "taskfleet": {"prio": "high"}}, "taskfleet.prio"),
    ({"messages": HELLO, "taskfleet": {"priority": "urgent"}}, "priority"),
    ({"messages": HELLO, "taskfleet": {"priority": 7}}, "priority"),
    ({"messages": HELLO, "taskfleet": {"queue": 7}}, "taskfleet.queue"),
    ({"messages": HELLO, "taskfleet": {"queue": "a/b/c"}}, "Taskfleet-Queue"),
    ({"messages": HELLO, "taskfleet": {"tenant": ["x"]}}, "taskfleet.tenant"),
    ({"messages": HELLO, "taskfleet": {"tenant": "no tenant"}}, "tenant"),
    ({"messages": HELLO, "taskfleet": {"session": "no session"}}, "session"),
    ({"messages": HELLO, "taskfleet": {"deadline": "tomorrow"}}, "deadline"),
    ({"messages": HELLO, "taskfleet": {"deadline": 99}}, "deadline"),
    ({"messages": HELLO, "taskfleet": {"metadata": "x"}}, "metadata"),
    ({"messages": HELLO, "taskfleet": {"idempotency_key": ""}}, "idempotency_key"),
    ({"messages": HELLO, "taskfleet": {"idempotency_key": {}}}, "idempotency_key"),
    ({"messages": HELLO, "taskfleet": {"detach": "yes"}}, "taskfleet.detach"),
    ({"messages": HELLO, "deep": DEEP}, None),
]


@pytest.mark.parametrize(("body", "param"), [case[1:] for case in WRONG_BODIES], ids=[case[0] for case in WRONG_BODIES])
async def test_a_body_that_is_no_object_is_a_400(site: Site, body: bytes, param: str) -> None:
    for path in (CHAT, "/v1/embeddings", "/v1/tasks"):
        answer = await site.http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["error"]["param"] == param
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_wrong_field_is_named(site: Site) -> None:
    for body, param in WRONG_FIELDS:
        answer = await site.post(CHAT, body)
        assert answer.status_code == 400, (str(body)[:80], answer.text)
        assert answer.json()["error"]["param"] == param, answer.text
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {}, "prompt"),
        ("/v1/completions", {"prompt": 7}, "prompt"),
        ("/v1/completions", {"prompt": "x", "messages": HELLO}, "messages"),
        ("/v1/embeddings", {}, "input"),
        ("/v1/embeddings", {"input": {}}, "input"),
        (f"{CHAT}/batch", {}, "requests"),
        (f"{CHAT}/batch", {"requests": []}, "requests"),
        (f"{CHAT}/batch", {"requests": ["x"]}, "requests[0]"),
        (f"{CHAT}/batch", {"requests": [{"messages": HELLO}, {"messages": []}]}, "requests[1].messages"),
        (f"{CHAT}/batch", {"requests": [{"messages": HELLO}], "model": "stub"}, "model"),
        (f"{CHAT}?batch=yes", {"messages": HELLO}, "batch"),
        ("/v1/tasks", {"prompt": ""}, "prompt"),
        ("/v1/tasks", {"prompt": "x", "what": 1}, "what"),
        ("/v1/tasks", {"prompt": "x", "operation": "sing"}, "operation"),
        ("/v1/tasks", {"tasks": []}, "tasks"),
        ("/v1/tasks", {"tasks": [{"prompt": "x"}, {"prompt": 3}]}, "tasks[1].prompt"),
        ("/v1/tasks", {"tasks": [{"prompt": "x"}], "batch": {}}, "batch"),
    ],
)
async def test_the_other_calls_name_their_fields_too(site: Site, path: str, body: Any, param: str) -> None:
    answer = await site.post(path, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param, answer.text
    assert (await site.work.store.stats(site.queue)).pending == 0, "nothing of it was enqueued"


async def test_an_unknown_model_is_a_404_with_what_there_is(site: Site) -> None:
    answer = await site.post(CHAT, {"model": "gpt-9", "messages": HELLO})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "it offers: stub" in error["message"]


async def test_an_unknown_queue_is_a_404(site: Site) -> None:
    answer = await site.post(CHAT, {"messages": HELLO}, headers={"Taskfleet-Queue": "nowhere/none"})
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "Taskfleet-Queue"


async def test_a_body_of_ten_gigabytes_is_refused_before_it_is_sent(site: Site) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10 * 2**30}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 413"), head
    writer.close()


async def test_a_task_larger_than_the_queue_takes_is_named(site: Site) -> None:
    await site.work.open(limits={"maxTaskBytes": 1000})
    big = [{"role": "user", "content": "x" * 2000}]
    answer = await site.post(CHAT, {"messages": big})
    assert answer.status_code == 400
    assert "limits.maxTaskBytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/tasks/../../etc/passwd", "/v1/%00", "/v1/tasks/%ff"])
async def test_a_path_that_is_nobodys_is_a_404_in_the_same_shape(site: Site, path: str) -> None:
    answer = await site.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_a_method_that_is_not_for_a_path_is_a_405(site: Site) -> None:
    answer = await site.get(CHAT)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_a_request_keeps_the_id_that_it_came_with(site: Site) -> None:
    answer = await site.get("/v1/models", headers={"X-Request-Id": "mine-7"})
    assert answer.headers["x-request-id"] == "mine-7"
    answer = await site.get("/v1/models", headers={"X-Request-Id": "not one <script>"})
    assert answer.headers["x-request-id"].startswith("req-")


async def test_whatever_is_thrown_at_it_is_no_500(site: Site) -> None:
    values: list[Any] = [None, True, -1, 1e308, "", "\x00", [], [[]], {}, {"a": {}}, "x" * 300]
    fields = ("model", "messages", "prompt", "input", "taskfleet", "tools", "tasks", "requests")
    wrong = [orjson.dumps({field: value}) for field in fields for value in values]

    async def throw(path: str, body: bytes) -> tuple[int, str]:
        answer = await site.http.post(path, content=body, headers={"Prefer": "wait=0"})
        return answer.status_code, f"{path} {body!r} {answer.text}"

    for path in (CHAT, f"{CHAT}/batch", "/v1/completions", "/v1/embeddings", "/v1/tasks"):
        answers = await asyncio.gather(*(throw(path, body) for body in wrong))
        assert [said for status, said in answers if status >= 500] == []


async def test_health_and_metrics_are_on_the_same_port(site: Site) -> None:
    answer = await site.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    answer = await site.get("/readyz")
    assert answer.status_code == 200, answer.text
    await site.get("/v1/models")
    shown = (await site.get("/metrics")).text
    assert 'taskfleet_gateway_requests_total{route="/v1/models",status="200"}' in shown
    assert "taskfleet_store_up 1.0" in shown
