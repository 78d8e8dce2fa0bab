"""OpenAI's own client, unchanged, in front of the queue."""

import asyncio
import base64
import json
import struct
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from taskfleet.core.task import Priority, TaskState
from tests.gateway.conftest import Site, working
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.workerprocess import MODEL, quick_policy

CHAT = "/v1/chat/completions"


async def test_a_chat_is_answered_with_the_servers_own_answer(served: Site) -> None:
    answer = await served.openai.chat.completions.create(model="stub", messages=[{"role": "user", "content": "Hi"}])
    assert answer.id == "chatcmpl-stub"
    assert answer.choices[0].message.content == "echo: Hi"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10


async def test_what_the_gateway_does_not_know_reaches_the_server_untouched(served: Site, model: ModelStub) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "x-ours": [1.5]}}}]
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    earlier = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"a": 1}}]},
        {"role": "tool", "tool_call_id": "c", "content": "42", "name": "x"},
    ]
    body = {
        "messages": [{"role": "user", "content": parts}, *earlier],
        "tools": tools,
        "tool_choice": "auto",
        "metadata": {"ours": "yes"},
        "seed": 7,
        "logit_bias": {"50256": -100},
        "something_new": {"deep": [None, True, 0.1]},
    }
    answer = await served.post("/v1/chat/completions", {"model": "stub", "stream": False, **body})
    assert answer.status_code == 200, answer.text
    assert model.requests[0]["body"] == {"model": "stub", **body}


LOOK = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
CALL = {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": '{"where": "north \u00fc"}'}}


@pytest.fixture
def calling(model: ModelStub) -> None:
    """The model answers whoever gives it tools with a call of one."""
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    model.replies.append(lambda body: message if "tools" in body else None)


async def test_a_call_of_a_tool_comes_as_the_model_made_it(served: Site, calling: None) -> None:
    asked: Any = {"model": "stub", "messages": [{"role": "user", "content": "look"}], "tools": LOOK}
    answer = await served.openai.chat.completions.create(**asked)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.to_dict() == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    async with served.openai.chat.completions.stream(**asked) as stream:
        streamed = (await stream.get_final_completion()).choices[0]
    assert streamed.finish_reason == "tool_calls"
    (call,) = streamed.message.tool_calls or ()
    assert (call.id, call.function.name, call.function.arguments) == ("call-1", "look", CALL["function"]["arguments"])


async def test_completions_and_embeddings_are_tasks_too(served: Site, model: ModelStub) -> None:
    said = await served.openai.completions.create(model="stub", prompt="Once", max_tokens=3)
    assert said.choices[0].text == "echo: Once"
    assert said.choices[0].finish_reason == "length"
    vectors = await served.openai.embeddings.create(model="stub", input="four", encoding_format="float")
    assert vectors.data[0].embedding == [4.0, 0.5, -1.0]
    raw = await served.openai.embeddings.with_raw_response.create(model="stub", input="four", encoding_format="base64")
    (item,) = json.loads(raw.text)["data"]
    assert struct.unpack("<3f", base64.b64decode(item["embedding"])) == (4.0, 0.5, -1.0), "the stub knows only numbers"
    await served.openai.embeddings.create(model="stub", input=[[1, 2], [3]])  # tokens, as LangChain does
    assert model.requests[-1]["body"]["input"] == [[1, 2], [3]]
    assert [each["body"].get("messages") for each in model.requests] == [None] * 4


async def test_the_headers_tell_how_the_task_went(served: Site) -> None:
    answer = await served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
    headers = answer.headers
    assert headers["taskfleet-queue"] == str(served.queue)
    assert headers["taskfleet-model"] == "stub"
    assert headers["taskfleet-endpoint"] == "stub"
    assert headers["taskfleet-attempts"] == "1"
    assert float(headers["taskfleet-run-seconds"]) >= 0
    (view,) = await served.work.views([headers["taskfleet-task"]])
    assert view.state is TaskState.COMPLETED
    assert view.priority is Priority.HIGH


async def test_wishes_travel_in_headers_or_in_extra_body(served: Site) -> None:
    answer = await served.openai.chat.completions.with_raw_response.create(
        model="stub",
        messages=[{"role": "user", "content": "Hi"}],
        extra_headers={"Taskfleet-Tenant": "gold"},
        extra_body={"taskfleet": {"priority": "low", "session": "s-1", "metadata": {"row": 3}}},
    )
    (view,) = await served.work.views([answer.headers["taskfleet-task"]])
    assert (view.priority, view.tenant, view.session) == (Priority.LOW, "gold", "s-1")
    assert view.metadata == {"row": 3}


async def test_an_answer_comes_soon_after_its_end(served: Site) -> None:
    took: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        answer = await served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
        took.append(time.monotonic() - began)
        assert answer.status_code == 200
    assert min(took) < 0.3, "an end is told, not looked for"


async def test_many_wait_at_once(served: Site) -> None:
    async def one(number: int) -> str | None:
        messages = [{"role": "user", "content": f"{number}"}]
        return (await served.openai.chat.completions.create(model="stub", messages=messages)).choices[0].message.content

    answers = await asyncio.gather(*(one(number) for number in range(50)))
    assert answers == [f"echo: {number}" for number in range(50)]


async def hung_up_on(asked: Coroutine[Any, Any, httpx.Response], model: ModelStub) -> None:
    """Whoever asks goes away while the model works for him."""
    asking = asyncio.create_task(asked)
    await eventually(lambda: model.inflight == 1, "the call to run")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_client_that_goes_away_frees_its_slot_at_once(served: Site, model: ModelStub) -> None:
    await served.work.open(leaseDuration="10m", taskTimeout="10m")  # a heartbeat alone would come after minutes
    model.hold()
    asked = served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "long"}]})
    await hung_up_on(asked, model)
    await eventually(lambda: model.hung_up == 1, "the call to be closed")
    model.let_go()
    answer = await served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "next"}]})
    assert answer.status_code == 200


async def test_a_client_that_detached_may_come_back_for_its_answer(served: Site, model: ModelStub) -> None:
    model.hold()
    body = {"messages": [{"role": "user", "content": "long"}], "taskfleet": {"detach": True}}
    await hung_up_on(served.post("/v1/chat/completions", body), model)
    model.let_go()
    await eventually(lambda: model.answered["long"] == 1, "the call to go on")
    assert model.hung_up == 0


async def test_a_wait_that_is_over_becomes_a_task(served: Site, model: ModelStub) -> None:
    model.hold()
    asked = {"messages": [{"role": "user", "content": "slow"}]}
    answer = await served.post("/v1/chat/completions", asked, headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == 202
    assert answer.json()["object"] == "task"
    model.let_go()
    result = await served.get(f"{answer.headers['location']}/result", params={"wait": "10"})
    assert result.status_code == 200
    assert result.json()["output"]["choices"][0]["message"]["content"] == "echo: slow"


async def test_batch_true_is_a_task_and_a_place_to_look(site: Site) -> None:
    answer = await site.post("/v1/chat/completions?batch=true", {"messages": [{"role": "user", "content": "later"}]})
    assert answer.status_code == 202
    assert answer.headers["taskfleet-queue-position"] == "1"
    (view,) = await site.work.views([answer.json()["id"]])
    assert view.priority is Priority.NORMAL


async def test_many_chats_at_once_are_ids(served: Site) -> None:
    asked = [{"messages": [{"role": "user", "content": word}]} for word in ("a", "b")]
    answer = await served.post("/v1/chat/completions/batch", {"requests": asked})
    assert answer.status_code == 202
    views = await served.work.finished([each["id"] for each in answer.json()["data"]])
    assert [view.output["choices"][0]["message"]["content"] for view in views] == ["echo: a", "echo: b"]


async def test_the_same_idempotency_key_is_the_same_task(served: Site, model: ModelStub) -> None:
    asked = {"messages": [{"role": "user", "content": "once"}]}
    first, second = await asyncio.gather(
        *(served.post("/v1/chat/completions", asked, headers={"Idempotency-Key": "k"}) for _ in range(2))
    )
    third = await served.post("/v1/chat/completions", asked, headers={"Idempotency-Key": "k"})
    assert {each.status_code for each in (first, second, third)} == {200}
    assert len({each.headers["taskfleet-task"] for each in (first, second, third)}) == 1
    assert model.calls["once"] == 1


async def test_the_models_are_listed_with_aliases_and_tags(site: Site) -> None:
    await site.work.open(models=[{"name": "stub", "aliases": ["fast"], "tags": ["chat"], "description": "a stub"}])
    await eventually(lambda: _ids(site, ["stub", "fast", "chat"]), "the gateway to see the new models", timeout=30.0)
    model = await site.openai.models.retrieve("fast")
    assert model.owned_by == "taskfleet"
    with pytest.raises(openai.NotFoundError) as caught:
        await site.openai.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


async def _ids(site: Site, wanted: list[str]) -> bool:
    return [model.id async for model in site.openai.models.list()] == wanted


async def test_a_server_that_refuses_the_request_is_quoted(served: Site, model: ModelStub) -> None:
    model.set_fault("400-openai")
    with pytest.raises(openai.BadRequestError, match="Supported values are"):
        await served.openai.chat.completions.create(model="stub", messages=[{"role": "user", "content": "Hi"}])


async def test_a_server_that_fails_every_attempt_is_a_502(served: Site, model: ModelStub) -> None:
    await served.work.open(taskTimeout="100ms", retry={"maxAttempts": 1})
    model.set_fault("hang")
    with pytest.raises(openai.APIStatusError) as caught:
        await served.openai.chat.completions.create(model="stub", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.status_code == 504
    assert caught.value.code == "timeout"


async def test_openais_client_comes_back_by_itself_to_a_queue_that_was_full(
    site: Site, model: ModelStub, store_url: str
) -> None:
    await site.work.open(limits={"maxPending": 1})
    await site.work.submit("in the way")
    async with openai.AsyncOpenAI(base_url=f"{site.url}/v1", api_key="none") as client:  # as it comes
        messages: Any = [{"role": "user", "content": "Hi"}]
        asking = asyncio.create_task(client.chat.completions.with_raw_response.create(model="stub", messages=messages))

        async def refused() -> bool:
            shown = (await site.get("/metrics")).text
            return 'requests_total{route="/v1/chat/completions",status="429"}' in shown

        await eventually(refused, "the call to be refused")
        async with working(store_url, site.queue, model.url):
            answer = await asking
    assert answer.retries_taken >= 1
    assert answer.parse().choices[0].message.content == "echo: Hi"


async def test_a_full_queue_says_when_to_come_back(site: Site) -> None:
    await site.work.open(limits={"maxPending": 1})
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    assert (await site.post("/v1/chat/completions?batch=true", asked)).status_code == 202
    refused = await site.post("/v1/chat/completions", asked)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert int(refused.headers["taskfleet-queue-position"]) >= 1
    assert refused.json()["error"]["code"] == "queue_full"
    assert refused.json()["error"]["type"] == "rate_limit_error"


async def test_where_the_pace_is_known_it_is_said_when_ones_turn_may_come(served: Site, model: ModelStub) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    later = f"{CHAT}?batch=true"
    assert (await served.post(CHAT, asked)).status_code == 200
    model.hold()

    async def with_eta() -> httpx.Response | None:
        answer = await served.post(later, asked)
        return answer if "taskfleet-eta-seconds" in answer.headers else None

    taken = await eventually(with_eta, "the pace to be known")
    assert taken.status_code == 202
    assert float(taken.headers["taskfleet-eta-seconds"]) > 0
    await served.work.open(limits={"maxPending": 1})

    async def refused() -> httpx.Response | None:
        answer = await served.post(later, asked)
        return answer if answer.status_code == 429 else None

    full = await eventually(refused, "the queue to be full")
    assert int(full.headers["taskfleet-queue-position"]) >= 1
    assert float(full.headers["taskfleet-eta-seconds"]) > 0
    assert int(full.headers["retry-after"]) >= 1


async def test_a_fallback_is_said_in_a_header_and_only_where_the_queue_says_so(served: Site, model: ModelStub) -> None:
    rules = quick_policy(models=[{"name": "large", "fallbacks": [MODEL]}, {"name": MODEL}])
    asked = {"model": "large", "messages": [{"role": "user", "content": "Hi"}]}
    await served.work.store.put_policy(served.queue, rules)

    async def known() -> bool:
        return (await served.get("/v1/models/large")).status_code == 200

    await eventually(known, "the gateway to see the rules")
    waits = await served.post(CHAT, asked, headers={"Prefer": "wait=1"})
    assert waits.status_code == 202
    assert not model.requests, "another model is not asked in its place"
    await served.work.store.put_policy(served.queue, replace(rules, fallbacks={"large": MODEL}))
    answer = await served.post(CHAT, asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["taskfleet-model"] == MODEL
    assert answer.headers["taskfleet-fallback-from"] == "large"
    own = await served.post(CHAT, asked | {"model": MODEL})
    assert "taskfleet-fallback-from" not in own.headers


async def test_a_paused_queue_is_a_503_in_words(site: Site) -> None:
    await site.work.store.pause(site.queue, seconds=60)
    refused = await site.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
    assert refused.status_code == 503
    assert "paused until" in refused.json()["error"]["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_a_model_that_nobody_serves_is_a_503_in_words(site: Site) -> None:
    policy = await site.work.store.policy(site.queue)
    assert policy is not None
    await site.work.store.put_policy(site.queue, replace(policy, served=("another",)))
    refused = await site.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
    assert refused.status_code == 503
    assert "no endpoint of a WorkerPool serves it" in refused.json()["error"]["message"]
