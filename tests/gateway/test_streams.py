"""Streams: OpenAI's chunks as they are said, and what a client gets that comes back, or whose worker died."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from taskfleet.core.task import TaskState
from tests.gateway.conftest import Site, working
from tests.gateway.test_command import gateway_process, url_in
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.workerprocess import worker_process

CHAT = "/v1/chat/completions"
LONG = "one two three four five six seven eight"


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "stub", "messages": [{"role": "user", "content": text}], "stream": True, **more}


async def read(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, each with its data."""
    event: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if not line and "data" in event:
            yield event
            event = {}
        elif name in ("id", "event", "data"):
            event[name] = value


def text_of(events: list[dict[str, Any]]) -> str:
    chunks = [json.loads(each["data"]) for each in events if each["data"] != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def whole(site: Site, body: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    async with site.http.stream("POST", CHAT, json=body, headers=headers) as answer:
        assert answer.status_code == 200
        return [event async for event in read(answer)]


async def test_openais_client_gets_the_answer_piece_by_piece(served: Site, model: ModelStub) -> None:
    stream = await served.openai.chat.completions.create(
        model="stub",
        messages=[{"role": "user", "content": LONG}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == f"echo: {LONG}"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert model.requests[0]["body"]["stream"] is True


async def test_without_the_wish_there_is_no_usage_chunk(served: Site) -> None:
    events = await whole(served, asked("Hi"))
    assert events[-1]["data"] == "[DONE]"
    assert all(json.loads(each["data"])["choices"] for each in events[:-1])
    assert text_of(events) == "echo: Hi"


async def test_a_piece_comes_before_the_next_is_said(served: Site, model: ModelStub) -> None:
    model.chunk_latency = 0.3
    began = time.monotonic()
    async with served.http.stream("POST", CHAT, json=asked(LONG)) as answer:
        events = read(answer)
        await anext(events)
        first = time.monotonic() - began
        rest = [event async for event in events]
    assert rest[-1]["data"] == "[DONE]"
    assert first < (time.monotonic() - began) / 2


async def test_many_streams_at_once_lose_nothing(served: Site, model: ModelStub) -> None:
    model.chunk_latency = 0.01
    texts = [f"{number} {LONG}" for number in range(40)]
    streams = await asyncio.gather(*(whole(served, asked(text)) for text in texts))
    assert [text_of(events) for events in streams] == [f"echo: {text}" for text in texts]


async def test_a_client_that_hangs_up_frees_its_slot(served: Site, model: ModelStub) -> None:
    model.chunk_latency = 0.2
    async with served.http.stream("POST", CHAT, json=asked(LONG)) as answer:
        await anext(read(answer))
    await eventually(lambda: model.hung_up == 1, "the call to be closed")
    (view,) = await served.work.finished([answer.headers["taskfleet-task"]])
    assert view.state is TaskState.CANCELLED


async def test_who_comes_back_goes_on_behind_what_it_had(served: Site, model: ModelStub) -> None:
    model.chunk_latency = 0.1
    key = {"Idempotency-Key": "again"}
    async with served.http.stream("POST", CHAT, json=asked(LONG), headers=key) as answer:
        events = read(answer)
        had = [await anext(events), await anext(events)]
    rest = await whole(served, asked(LONG), **key, **{"Last-Event-ID": had[-1]["id"]})
    assert text_of([*had, *rest]) == f"echo: {LONG}"
    assert rest[-1]["data"] == "[DONE]"
    assert model.calls[LONG] == 1
    again = await whole(served, asked(LONG), **key)
    assert text_of(again) == f"echo: {LONG}", "without Last-Event-ID it is told from its beginning"


async def test_who_comes_back_to_another_gateway_when_his_was_killed_loses_nothing(
    site: Site, model: ModelStub, store_url: str, tmp_path: Path
) -> None:
    model.chunk_latency = 0.1
    key, had = {"Idempotency-Key": "moved"}, []
    with gateway_process(tmp_path, store_url, "--queue", str(site.queue)) as (process, log):
        url = await eventually(lambda: url_in(log), "the other gateway to start")
        async with working(store_url, site.queue, model.url), httpx.AsyncClient(base_url=url) as http:
            with contextlib.suppress(httpx.TransportError):
                async with http.stream("POST", CHAT, json=asked(LONG), headers=key) as answer:
                    async for event in read(answer):
                        had.append(event)
                        if len(had) == 2:
                            process.kill()
            rest = await whole(site, asked(LONG), **key, **{"Last-Event-ID": had[-1]["id"]})
    assert text_of(rest), "it was cut off in the middle"
    assert text_of([*had, *rest]) == f"echo: {LONG}"
    assert model.calls[LONG] == 1


async def test_to_come_back_one_says_which_task_it_was(site: Site) -> None:
    for headers in ({"Last-Event-ID": "1-2"}, {"Last-Event-ID": "x", "Idempotency-Key": "k"}):
        answer = await site.post(CHAT, asked("Hi"), headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Last-Event-ID")


async def test_an_error_before_the_first_piece_has_its_own_status(served: Site, model: ModelStub) -> None:
    model.set_fault("400-openai")
    with pytest.raises(openai.BadRequestError, match="Supported values are"):
        await served.openai.chat.completions.create(**asked("Hi"))


async def test_an_error_after_it_ends_the_stream_with_the_error(served: Site, model: ModelStub) -> None:
    await served.work.open(retry={"maxAttempts": 1}, taskTimeout="1s")
    model.chunk_latency = 0.7
    stream = await served.openai.chat.completions.create(**asked(LONG))
    with pytest.raises(openai.APIError, match="no answer within"):
        async for _ in stream:
            pass


@pytest.mark.parametrize("told", [True, False])
async def test_a_worker_that_dies_in_between_is_told_and_no_token_is_mixed(
    site: Site, model: ModelStub, store_url: str, told: bool
) -> None:
    await site.work.open(leaseDuration="1s")
    model.chunk_latency = 0.2
    body = asked(LONG, taskfleet={"restarts": told, "detach": True})
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(worker_process(store_url, site.queue, model.url))
        async with site.http.stream("POST", CHAT, json=body) as answer:
            events = read(answer)
            await anext(events)
            first.end()
            stack.enter_context(worker_process(store_url, site.queue, model.url))
            ticking = asyncio.create_task(_tick(site))
            rest = [event async for event in events]
            ticking.cancel()
    if not told:
        assert json.loads(rest[-1]["data"])["error"]["code"] == "restarted"
        return
    marks = [at for at, event in enumerate(rest) if "restarted" in event["data"]]
    assert len(marks) == 1
    assert json.loads(rest[marks[0]]["data"])["taskfleet"]["event"] == "restarted"
    assert text_of(rest[marks[0] :]) == f"echo: {LONG}", "behind the mark everything is new"
    assert rest[-1]["data"] == "[DONE]"


async def _tick(site: Site) -> None:
    """Time passes in the queue, as a controller lets it."""
    while True:
        await site.work.store.tick(site.queue)
        await asyncio.sleep(0.1)


async def test_what_is_answered_in_one_piece_is_one_chunk(site: Site) -> None:
    streaming = asyncio.create_task(whole(site, asked("Hi")))

    async def claimed() -> Any:
        return (await site.work.store.claim(site.queue, "me", ["stub"], 1)).tasks

    (task,) = await eventually(claimed, "the task to be there")
    await site.post(f"/v1/tasks/{task.id}/complete", {"output": "by hand"})
    events = await streaming
    assert text_of(events) == "by hand"
    assert json.loads(events[0]["data"])["choices"][0]["finish_reason"] == "stop"


async def test_the_events_of_any_task_are_there_to_be_followed(served: Site, model: ModelStub) -> None:
    model.hold()
    await served.post("/v1/tasks", {"id": "t", "prompt": "Hi", "stream": True})
    await eventually(lambda: model.inflight == 1, "the call")
    progress = await served.post("/v1/tasks/t/progress", {"fraction": 0.5, "message": "half"})
    assert progress.status_code == 200, progress.text
    async with served.http.stream("GET", "/v1/tasks/t/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = read(answer)
        seen = [await anext(events), await anext(events)]
        model.let_go()
        seen += [event async for event in events]
    assert [each["event"] for each in seen][:2] == ["started", "progress"]
    assert json.loads(seen[1]["data"])["fraction"] == 0.5
    assert [each["event"] for each in seen][-1] == "finished"
    async with served.http.stream("GET", "/v1/tasks/t/events", headers={"Last-Event-ID": seen[1]["id"]}) as answer:
        behind = [event async for event in read(answer)]
    assert [each["id"] for each in behind] == [each["id"] for each in seen[2:]]
    assert (await served.get("/v1/tasks/none-such/events")).status_code == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [({"fraction": "half"}, "fraction"), ({"fraction": 2}, "progress"), ({}, "progress"), ({"message": 1}, "message")],
)
async def test_a_progress_that_is_none_is_refused(site: Site, body: Any, param: str) -> None:
    await site.post("/v1/tasks", {"id": "t", "prompt": "Hi"})
    answer = await site.post("/v1/tasks/t/progress", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("path", ["/v1/completions", f"{CHAT}?batch=true"])
async def test_what_is_answered_whole_is_not_streamed(site: Site, path: str) -> None:
    answer = await site.post(path, {"prompt": "x"} | asked("Hi"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")
