"""OpenAI's Responses API, with OpenAI's own client, where the endpoint has it and where it has not."""

import asyncio
from typing import Any

import openai
import orjson
import pytest

from taskfleet.gateway.service import GatewayOptions
from tests.gateway.conftest import Site, working
from tests.support.modelstub import ModelStub

RESPONSES = "/v1/responses"


async def test_openais_client_has_its_answer_and_unknown_fields_reach_the_server(
    served: Site, model: ModelStub
) -> None:
    answer = await served.openai.responses.create(
        model="stub", input="hello", instructions="shout", extra_body={"top_k": 3}
    )
    assert answer.output_text == "echo: hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10
    sent = model.requests[-1]["body"]
    assert sent == {"model": "stub", "input": "hello", "instructions": "shout", "top_k": 3}


async def test_a_stream_has_the_servers_own_events(served: Site) -> None:
    async with await served.openai.responses.create(model="stub", input="hello there", stream=True) as stream:
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == "echo: hello there"
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == said


async def test_a_client_that_comes_back_has_the_events_behind_its_last_one(served: Site) -> None:
    asked = {"model": "stub", "input": "hello there", "stream": True}
    again = {"Idempotency-Key": "once"}
    whole = parts((await served.post(RESPONSES, asked, headers=again)).text)
    ids = [each["id"] for each in whole if "id" in each]
    seen = next(at for at, each in enumerate(whole) if each.get("id") == ids[0])
    rest = parts((await served.post(RESPONSES, asked, headers={**again, "Last-Event-ID": ids[0]})).text)
    assert rest == whole[seen + 1 :]


def parts(text: str) -> list[dict[str, Any]]:
    found = [dict(line.split(": ", 1) for line in part.splitlines() if ": " in line) for part in text.split("\n\n")]
    return [each for each in found if "data" in each]


async def test_a_whole_answer_streams_as_its_last_event(site: Site) -> None:
    """Of whoever works without streaming: a person, or a program outside."""
    asking = asyncio.create_task(site.post(RESPONSES, {"model": "stub", "input": "hello", "stream": True}))
    claimed = await site.post(f"/v1/queues/{site.queue}/claim", {"worker": "me", "wait": 5})
    (task,) = claimed.json()["data"]
    await site.post(f"/v1/tasks/{task['id']}/complete", {"output": "by hand"})
    (event,) = parts((await asking).text)
    assert event["event"] == "response.completed"
    assert orjson.loads(event["data"])["response"]["output"][0]["content"][0]["text"] == "by hand"


async def test_an_endpoint_without_it_says_so_and_goes_on_with_chats(site: Site, options: GatewayOptions) -> None:
    async with ModelStub(has_responses=False) as plain, working(options.store_url, site.queue, plain.url):
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as refused:
                await site.openai.responses.create(model="stub", input="hello", stream=stream)
            assert refused.value.status_code == 501
            assert refused.value.code == "operation_not_offered"
            assert "this endpoint has no responses" in refused.value.message
        answer = await site.openai.chat.completions.create(model="stub", messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == "echo: Hi"


@pytest.mark.parametrize(
    ("body", "param"),
    [({"model": "stub"}, "input"), ({"model": "stub", "input": "x", "background": True}, "background")],
)
async def test_what_cannot_be_asked_is_named(site: Site, body: dict[str, Any], param: str) -> None:
    answer = await site.post(RESPONSES, body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
