"""Batches: OpenAI's client and statuses, and every line a task."""

import asyncio
import contextlib
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from taskfleet.gateway.batchlines import MAX_LINE_BYTES
from taskfleet.gateway.service import GatewayOptions
from tests.gateway.conftest import Site, opened, working
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work

CHAT = "/v1/chat/completions"


def line(name: str, text: str = "", **more: Any) -> dict[str, Any]:
    body = {"model": "stub", "messages": [{"role": "user", "content": text or name}]}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body} | more


def jsonl(*lines: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


async def start(client: AsyncOpenAI, data: bytes, window: str = "24h", **more: Any) -> Any:
    file = await client.files.create(file=("in.jsonl", data), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint=more.pop("endpoint", CHAT), completion_window=window, **more
    )


async def ended(client: AsyncOpenAI, batch_id: str, *, timeout: float = 25.0) -> Any:  # noqa: ASYNC109
    async def final() -> Any:
        with contextlib.suppress(openai.APIConnectionError, openai.InternalServerError):
            batch = await client.batches.retrieve(batch_id)
            return batch if batch.status in ("completed", "failed", "expired", "cancelled") else None

    return await eventually(final, "the batch to end", timeout=timeout)


async def lines_of(client: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    content = (await client.files.content(file_id)).content
    return [json.loads(each) for each in content.splitlines()]


async def test_a_batch_runs_to_its_end(served: Site) -> None:
    batch = await start(served.openai, jsonl(*(line(f"r{n}") for n in range(25))), metadata={"job": "nightly"})
    assert batch.status == "validating"
    batch = await ended(served.openai, batch.id)
    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (25, 25, 0)
    assert batch.metadata == {"job": "nightly"}
    assert batch.error_file_id is None
    assert None not in (batch.in_progress_at, batch.finalizing_at, batch.completed_at, batch.expires_at)
    output = await lines_of(served.openai, batch.output_file_id)
    assert sorted(each["custom_id"] for each in output) == sorted(f"r{n}" for n in range(25))
    for each in output:
        assert each["response"]["status_code"] == 200
        assert each["response"]["body"]["choices"][0]["message"]["content"] == f"echo: {each['custom_id']}"
        assert each["error"] is None


async def test_embeddings_are_a_batch_too(served: Site) -> None:
    asked = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": {"model": "stub", "input": "four"}}
    batch = await ended(served.openai, (await start(served.openai, jsonl(asked), endpoint="/v1/embeddings")).id)
    (output,) = await lines_of(served.openai, batch.output_file_id)
    assert output["response"]["body"]["data"][0]["embedding"] == [4.0, 0.5, -1.0]


async def test_a_request_that_fails_is_in_the_error_file_and_sinks_no_other(served: Site, model: ModelStub) -> None:
    model.set_fault("400-openai", containing="bad")
    batch = await ended(served.openai, (await start(served.openai, jsonl(line("good"), line("bad")))).id)
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (error,) = await lines_of(served.openai, batch.error_file_id)
    assert error["custom_id"] == "bad"
    assert error["response"]["status_code"] == 400
    assert "Supported values are" in error["response"]["body"]["error"]["message"]


BAD: list[tuple[Any, str, str | None]] = [
    (b"not json", "invalid_json_line", None),
    (b"[]", "invalid_json_line", None),
    (b'{"custom_id": NaN}', "invalid_json_line", None),
    (b'{"custom_id": "\xff"}', "invalid_json_line", None),
    ({"custom_id": "x"}, "missing_required_parameter", "method"),
    (line("x", custom_id=7), "invalid_custom_id", "custom_id"),
    (line("x", custom_id="x" * 600), "invalid_custom_id", "custom_id"),
    (line("first"), "duplicate_custom_id", "custom_id"),
    (line("x", method="GET"), "invalid_method", "method"),
    (line("x", url="/v1/embeddings"), "mismatched_url", "url"),
    (line("x", body=[]), "invalid_body", "body"),
    (line("x", body={"messages": [], "model": "stub"}), "invalid_task", "messages"),
    (line("x", body={"messages": [{"role": "user", "content": "x"}], "stream": True}), "invalid_input", "stream"),
    (line("x", body={"messages": [{"role": "user", "content": "x"}], "model": "gpt-9"}), "model_not_found", "model"),
    (line("x", more=1), "unknown_parameter", "more"),
    (line("x", "long " * 2**18), "invalid_task", None),  # more than the queue takes
    (b'"' + b"x" * MAX_LINE_BYTES + b'"', "line_too_large", None),
]


async def test_every_bad_line_is_named_and_nothing_is_run(site: Site) -> None:
    data = jsonl(line("first"), *(bad for bad, _, _ in BAD), b"", line("last"))
    batch = await ended(site.openai, (await start(site.openai, data)).id)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    found = [(error.line, error.code, error.param) for error in batch.errors.data]
    assert found == [(number, code, param) for number, (_, code, param) in enumerate(BAD, start=2)]
    stats = await site.work.store.stats(site.queue)
    assert stats is not None
    assert stats.counters["enqueued"] == 0


async def test_an_empty_file_and_one_with_too_many_lines_fail(site: Site) -> None:
    batch = await ended(site.openai, (await start(site.openai, b"\n\n")).id)
    assert [error.code for error in batch.errors.data] == ["empty_file"]
    many = b"".join(
        b'{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"input":"x"}}\n' % n for n in range(50_001)
    )
    batch = await ended(site.openai, (await start(site.openai, many, endpoint="/v1/embeddings")).id)
    assert [error.code for error in batch.errors.data] == ["too_many_requests"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/images/generations"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": 24}, "completion_window"),
        ({"completion_window": "9000h"}, "completion_window"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {}}, "output_expires_after"),
        ({"taskfleet": {"idempotency_key": "k"}}, "Idempotency-Key"),
    ],
)
async def test_a_batch_that_is_none_is_refused(site: Site, change: dict[str, Any], param: str) -> None:
    file = await site.openai.files.create(file=("in.jsonl", b"x"), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"} | change
    answer = await site.post("/v1/batches", asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_what_is_not_there_is_a_404(site: Site) -> None:
    asked = {"input_file_id": "file-000000000000000000000000", "endpoint": CHAT, "completion_window": "24h"}
    answer = await site.post("/v1/batches", asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "input_file_id")
    for path in ("batch_000000000000000000000000", "batch_x", "x/y", "%2e%2e"):
        assert (await site.get(f"/v1/batches/{path}")).status_code == 404


async def test_its_output_is_readable_while_it_runs(served: Site, model: ModelStub) -> None:
    model.set_fault("hang", containing="slow")
    batch = await start(served.openai, jsonl(line("quick"), *(line(f"slow{n}") for n in range(4))))

    async def first_line() -> Any:
        now = await served.openai.batches.retrieve(batch.id)
        return now.output_file_id and await lines_of(served.openai, now.output_file_id)

    (output,) = await eventually(first_line, "the first line")
    assert output["custom_id"] == "quick"
    now = await served.openai.batches.retrieve(batch.id)
    assert (now.status, now.request_counts.completed) == ("in_progress", 1)


async def test_a_cancelled_batch_keeps_what_was_done(served: Site, model: ModelStub) -> None:
    model.set_fault("hang", containing="slow")
    batch = await start(served.openai, jsonl(line("quick"), *(line(f"slow{n}") for n in range(8))))

    async def one_is_done() -> bool:
        return (await served.openai.batches.retrieve(batch.id)).request_counts.completed == 1

    await eventually(one_is_done, "the first to be done")
    assert (await served.openai.batches.cancel(batch.id)).status == "cancelling"
    batch = await ended(served.openai, batch.id)
    assert batch.status == "cancelled"
    assert None not in (batch.cancelling_at, batch.cancelled_at)
    assert [each["custom_id"] for each in await lines_of(served.openai, batch.output_file_id)] == ["quick"]
    errors = await lines_of(served.openai, batch.error_file_id)
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    assert len(errors) == 8
    with pytest.raises(openai.ConflictError):
        await served.openai.batches.cancel(batch.id)


async def test_a_batch_that_is_cancelled_while_its_lines_are_checked_asks_nothing(
    served: Site, model: ModelStub
) -> None:
    names = [f"r{n}" for n in range(10_000)]  # checked in much more time than a call takes
    batch = await start(served.openai, jsonl(*map(line, names)))
    assert (await served.openai.batches.cancel(batch.id)).status == "cancelling"
    batch = await ended(served.openai, batch.id)
    assert (batch.status, batch.output_file_id) == ("cancelled", None)
    errors = await lines_of(served.openai, batch.error_file_id)
    assert [each["custom_id"] for each in errors] == names
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
    assert not model.calls


async def test_a_window_that_ends_keeps_what_was_done(served: Site, model: ModelStub) -> None:
    await served.work.open(limits={"maxPending": 3}, taskTimeout="1s")
    model.set_fault("hang", containing="slow")
    slow = [f"slow{n}" for n in range(10)]
    batch = await start(served.openai, jsonl(*map(line, ["quick", *slow])), "3s")
    ticking = asyncio.create_task(_tick(served))
    batch = await ended(served.openai, batch.id)
    ticking.cancel()
    assert batch.status == "expired"
    assert batch.expired_at is not None
    assert [each["custom_id"] for each in await lines_of(served.openai, batch.output_file_id)] == ["quick"]
    errors = await lines_of(served.openai, batch.error_file_id)
    assert sorted(each["custom_id"] for each in errors) == slow
    assert {each["error"]["code"] for each in errors} == {"batch_expired"}


async def test_a_batch_larger_than_the_queue_holds_goes_in_as_there_is_room(served: Site) -> None:
    await served.work.open(limits={"maxPending": 5})
    batch = await start(served.openai, jsonl(*(line(f"r{n}") for n in range(40))))
    batch = await ended(served.openai, batch.id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 40)


async def test_a_batch_whose_file_was_deleted_fails_in_words(site: Site) -> None:
    await site.work.open(limits={"maxPending": 1})  # so that it is still being enqueued
    batch = await start(site.openai, jsonl(*(line(f"r{n}") for n in range(2000))))

    async def runs() -> bool:
        return (await site.openai.batches.retrieve(batch.id)).status == "in_progress"

    await eventually(runs, "the batch to run")
    await site.openai.files.delete(batch.input_file_id)
    await site.openai.batches.cancel(batch.id)
    batch = await ended(site.openai, batch.id)
    assert batch.status == "failed"
    assert [(error.code, error.param) for error in batch.errors.data] == [("file_not_found", "input_file_id")]


async def test_batches_are_listed_newest_first_in_pages(site: Site) -> None:
    made = [(await start(site.openai, jsonl(line("x")))).id for _ in range(5)]
    here = {"Taskfleet-Queue": str(site.queue)}
    assert [batch.id async for batch in site.openai.batches.list(limit=2, extra_headers=here)] == made[::-1]
    first = await site.openai.batches.list(limit=2)
    assert first.has_more is True
    answer = await site.get("/v1/batches?limit=0")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")


async def test_an_online_call_does_not_wait_behind_a_batch(site: Site, model: ModelStub, store_url: str) -> None:
    await start(site.openai, jsonl(*(line(f"r{n}") for n in range(300))))

    async def enqueued() -> bool:
        stats = await site.work.store.stats(site.queue)
        return stats is not None and stats.pending == 300

    await eventually(enqueued, "the batch to wait")
    asking = asyncio.create_task(site.post(CHAT, {"messages": [{"role": "user", "content": "me first"}]}))

    async def asked() -> bool:
        stats = await site.work.store.stats(site.queue)
        return stats is not None and stats.pending == 301

    await eventually(asked, "the call to wait too")
    async with working(store_url, site.queue, model.url, concurrency=1):
        assert (await asking).status_code == 200
        assert model.calls.total() < 30, "of 20 tasks one is of a lower priority"


async def test_two_gateways_share_the_batches(
    options: GatewayOptions, work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open()
    async with (
        opened(options, work) as one,
        opened(options, work) as two,
        contextlib.AsyncExitStack() as stack,
    ):
        batches = [(await start(each.openai, jsonl(*(line(f"r{n}") for n in range(50))))).id for each in (one, two)]
        await stack.enter_async_context(working(store_url, work.queue, model.url))
        for batch_id in batches:
            for site in (one, two):
                batch = await ended(site.openai, batch_id)
                assert (batch.status, batch.request_counts.completed) == ("completed", 50)
                assert len(await lines_of(site.openai, batch.output_file_id)) == 50


async def _tick(site: Site) -> None:
    """Time passes in the queue, as a controller lets it."""
    while True:
        await site.work.store.tick(site.queue)
        await asyncio.sleep(0.1)
