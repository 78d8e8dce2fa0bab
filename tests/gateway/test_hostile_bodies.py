"""Bodies and paths that mean no good: each is a clear 4xx, takes little memory, and runs nothing."""

import asyncio
import gzip
from typing import Any

import orjson
import pytest

from taskfleet.gateway import bodies, jsonbounds
from taskfleet.gateway.service import GatewayOptions
from tests.gateway.conftest import Site, opened, working
from tests.support.modelstub import ModelStub
from tests.support.work import Work

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hi"}]
JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 100_000 + b"]" * 100_000


async def refused(site: Site, path: str, body: bytes, **headers: str) -> dict[str, Any]:
    """The error of a body that is a 400."""
    answer = await site.http.post(path, content=body, headers=JSON | headers)
    assert answer.status_code == 400, (path, body[:80], answer.text[:300])
    error: dict[str, Any] = answer.json()["error"]
    return error


async def test_what_is_nested_a_hundred_thousand_times_is_refused_everywhere(site: Site) -> None:
    for path in (CHAT, f"{CHAT}/batch", "/v1/embeddings", "/v1/tasks", "/v1/tasks/lookup", "/v1/batches"):
        for body in (DEEP, b'{"messages": ' + DEEP + b"}", b'{"a":' * 100_000):
            assert (await refused(site, path, body))["param"] == "body"
    lines = b'{"prompt": "x"}\n{"prompt": "x", "metadata": ' + DEEP + b"}\n"
    error = await refused(site, "/v1/tasks", lines, **{"Content-Type": "application/x-ndjson"})
    assert error["message"].startswith("line 2: ")


async def test_a_small_body_that_is_large_in_memory_is_refused(site: Site) -> None:
    for piece in (b"[],", b'{"":0},', b"1.5,", b'"",'):
        body = b'{"messages": [' + piece * 1_000_001 + b"0]}"
        assert "more than 1,000,000 values" in (await refused(site, CHAT, body))["message"]


async def test_a_prompt_that_has_many_commas_and_brackets_is_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonbounds, "MAX_VALUES", 1000)
    text = '[1, "a\\"b", {"c": 2}], ' * 2000
    answer = await site.post("/v1/tasks", {"prompt": text})
    assert answer.status_code == 202, answer.text
    assert "more than 1,000 values" in (await refused(site, "/v1/tasks", orjson.dumps([0] * 2000)))["message"]


async def test_a_compressed_body_is_not_taken(site: Site) -> None:
    bomb = gzip.compress(b'{"messages": [' + b" " * 10_000_000)
    for path in (CHAT, "/v1/tasks", "/v1/files"):
        for encoding in ("gzip", "deflate, gzip", "br", "x"):
            answer = await site.http.post(path, content=bomb, headers=JSON | {"Content-Encoding": encoding})
            assert answer.status_code == 400, (path, answer.text)
            assert "send the body as it is" in answer.json()["error"]["message"] or path == "/v1/files"


async def test_of_a_name_that_is_there_twice_one_goes_on_and_nothing_is_told_apart(
    site: Site, model: ModelStub, store_url: str
) -> None:
    twice = b'{"model": "gpt-9", "model": "stub", "messages": [{"role": "user", "content": "no", "content": "Hi"}]}'
    async with working(store_url, site.queue, model.url):
        answer = await site.http.post(CHAT, content=twice, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert dict(model.calls) == {"Hi": 1}, "what was checked is what was run"


async def test_numbers_that_are_too_large_are_no_error_of_ours(site: Site) -> None:
    numbers = (b"1e400", b"-1e400", b"9" * 5000, b"0." + b"1" * 5000, b"1" + b"0" * 400, b"-0", b"1E-999")
    for number in numbers:
        for field in (b"temperature", b"max_tokens", b"n", b"seed", b"messages"):
            body = b'{"messages": [{"role": "user", "content": "Hi"}], "%b": %b}' % (field, number)
            answer = await site.http.post(f"{CHAT}?batch=true", content=body, headers=JSON)
            assert answer.status_code in (202, 400), (field, number[:20], answer.text)
        for path, name in (("/v1/tasks/lookup", b"ids"), (f"/v1/queues/{site.queue}/pause", b"for")):
            answer = await site.http.post(path, content=b'{"%b": %b}' % (name, number), headers=JSON)
            assert answer.status_code == 400, (path, number[:20], answer.text)
    for text in ("9" * 400, "-1", "1e9", "%00", "0x10", "\u0663"):
        for path in (
            "/v1/files?limit=",
            "/v1/batches?limit=",
            "/v1/tasks/x/result?wait=",
            "/v1/tasks?status=failed&limit=",
        ):
            answer = await site.get(path + text)
            assert answer.status_code == 400, (path, text, answer.text)


TRICKS = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc",
    "..%5c..%5cetc",
    "%00",
    "file-%00",
    "x%0d%0aSet-Cookie:a",
)
MORE_TRICKS = (
    "%c0%ae%c0%ae%2f",
    "....//....//etc",
    "~root",
    "file-000000000000000000000000%2f..",
    "%",
    "%zz",
    "a" * 5000,
)


async def test_no_path_leads_anywhere_else(site: Site) -> None:
    calls = ("/v1/files/{}", "/v1/files/{}/content", "/v1/batches/{}", "/v1/tasks/{}", "/v1/models/{}")
    more = ("/v1/queues/{}", "/v1/queues/{}/stats", "/v1/queues/test/{}/events", "/v1/tasks/{}/events")
    for call in (*calls, *more):
        for trick in (*TRICKS, *MORE_TRICKS):
            answer = await site.get(call.format(trick))
            assert answer.status_code in (400, 404), (call, trick, answer.text)
            assert "set-cookie" not in answer.headers
            assert "root:" not in answer.text
    for trick in (*TRICKS, *MORE_TRICKS):
        answer = await site.http.delete(f"/v1/files/{trick}")
        assert answer.status_code == 404, (trick, answer.text)
        answer = await site.post("/v1/batches", {"input_file_id": trick, "endpoint": CHAT, "completion_window": "24h"})
        assert answer.status_code == 404, (trick, answer.text)


async def test_large_bodies_at_once_find_no_room_and_small_ones_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", 2_000_000)
    large = orjson.dumps({"prompt": "x" * 900_000})
    answers = await asyncio.gather(*(site.http.post("/v1/tasks", content=large, headers=JSON) for _ in range(6)))
    assert {answer.status_code for answer in answers} <= {202, 429}
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", 500_000)
    answer = await site.http.post("/v1/tasks", content=large, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (429, "no_room", "1")
    assert (await site.post("/v1/tasks", {"prompt": "small"})).status_code == 202


async def test_a_key_that_is_replayed_over_two_gateways_at_once_is_one_call(
    options: GatewayOptions, work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    model.latency = 0.05
    body = {"messages": [{"role": "user", "content": "once"}]}
    async with (
        opened(options, work) as one,
        opened(options, work) as two,
        working(store_url, work.queue, model.url),
    ):
        asked = [site.post(CHAT, body, headers={"Idempotency-Key": "pay-7"}) for site in (one, two) * 10]
        answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.headers["taskfleet-task"] for answer in answers}) == 1
    assert dict(model.calls) == {"once": 1}
