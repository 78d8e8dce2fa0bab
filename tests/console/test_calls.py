"""The calls of the API that the console needed and that were not there: who a key is, all queues as they change,
why something waits, what was asked, and of what tasks failed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from taskfleet.core.chronicle import Chronicle
from taskfleet.core.explanation import NOBODY_LOOKED, Scene, queue_lines
from taskfleet.core.task import QueueKey
from taskfleet.gateway.service import GatewayOptions, gateway
from tests.console.conftest import House
from tests.support.work import Work

BOSS = {"Authorization": "Bearer key-of-boss"}
ONE = {"Authorization": "Bearer key-of-one"}


async def overview(url: str, **headers: str) -> AsyncIterator[tuple[str, Any]]:
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as http,
        http.stream("GET", "/v1/overview") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))


async def shown_of(told: AsyncIterator[tuple[str, Any]], queue: QueueKey) -> Any:
    """The next that is told of this queue."""
    async for kind, data in told:
        for each in data["data"] if kind == "queues" else ():
            if each["id"] == str(queue):
                return each
    raise AssertionError("it ended")


async def test_a_key_is_told_who_it_is_whatever_its_rights(house: House) -> None:
    async with httpx.AsyncClient() as http:
        sender = await http.get(f"{house.locked}/v1/key", headers={"Authorization": "Bearer key-of-sender"})
        anyone = await http.get(f"{house.url}/v1/key")
        stranger = await http.get(f"{house.locked}/v1/key")
    assert sender.json() == {
        "object": "key",
        "name": "sender",
        "required": True,
        "tenant": "one",
        "sees_all_tenants": False,
        "rights": ["submit"],
        "queues": None,
        "max_priority": "critical",
    }
    assert (anyone.json()["required"], anyone.json()["tenant"], len(anyone.json()["rights"])) == (False, None, 4)
    assert stranger.status_code == 401


async def test_the_overview_tells_of_every_queue_and_then_of_what_changes(house: House, work: Work) -> None:
    async with aclosing(overview(house.url)) as told:
        first = await shown_of(told, work.queue)
        assert (first["pending"], first["why"]) == (0, [NOBODY_LOOKED])
        await work.submit("a", "b")
        second = await shown_of(told, work.queue)
        assert (second["pending"], second["depth"]["normal"], second["seconds_left"]) == (2, 2, None)
        await house.store.drop_queue(work.queue)
        async for kind, data in told:
            if kind == "queues" and str(work.queue) in data["gone"]:
                break
        else:
            raise AssertionError("nothing was told of the queue that is gone")


async def test_the_overview_ends_when_the_gateway_is_to_stop(house: House, tmp_path: Any) -> None:
    options = GatewayOptions(house.store_url, "127.0.0.1", 0, "--port", "test", None, None, tmp_path / "files", 30)
    seen = asyncio.Event()

    async def follow(url: str) -> None:
        async for kind, _ in overview(url):
            if kind == "seen":
                seen.set()

    async with gateway(options) as here:
        following = asyncio.create_task(follow(here.url))
        await seen.wait()
    await following  # which the gateway did not wait 30 s for


async def test_why_a_queue_waits_is_said_in_the_words_of_explain(house: House, work: Work) -> None:
    status = {"conditions": [{"type": "Served", "status": "False", "message": "no pool serves it", "reason": "NoPool"}]}
    await house.store.record(work.queue, Chronicle({("TaskQueue", work.queue.name): status}))
    await work.submit("a")
    scene = Scene(await house.store.stats(work.queue), [], await house.store.chronicle(work.queue))
    async with httpx.AsyncClient(base_url=house.url) as http:
        lines = (await http.get(f"/v1/queues/{work.queue}/explain")).json()["lines"]
        task = (await http.get("/v1/tasks/a/explain", params={"queue": str(work.queue)})).json()
    expected = [line.strip() for line in queue_lines(work.queue.name, scene)]
    assert [line for line in lines if "has waited" not in line] == [
        line for line in expected if "has waited" not in line
    ]
    assert "Served is False: no pool serves it (NoPool)" in lines
    assert task["about"] == f"task a in {work.queue} is pending"
    assert "about 0 tasks before it" in task["lines"]


async def test_what_was_asked_is_there_until_it_has_ended_well(house: House, work: Work, worker: None) -> None:
    house.model.hold()
    await work.submit("fine")
    path, query = "/v1/tasks/fine/request", {"queue": str(work.queue)}
    async with httpx.AsyncClient(base_url=house.url) as http:
        asked = (await http.get(path, params=query)).json()
        assert asked["request"]["messages"] == [{"role": "user", "content": "fine"}]
        house.model.let_go()
        await work.finished(["fine"])
        refused = await http.get(path, params=query)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "request_not_kept")


async def test_another_tenants_task_tells_neither_what_it_asks_nor_why_it_waits(house: House, work: Work) -> None:
    await work.submit("theirs")
    async with httpx.AsyncClient(base_url=house.locked, headers=ONE) as http:
        for rest in ("request", "explain"):
            answer = await http.get(f"/v1/tasks/theirs/{rest}", params={"queue": str(work.queue)})
            assert answer.status_code == 404


async def test_failures_are_counted_by_error_and_brought_back_by_it(house: House, work: Work, worker: None) -> None:
    house.model.set_fault("400-openai")
    await work.submit("a", "b", "c")
    await work.finished(["a", "b", "c"])
    house.model.clear_faults()
    path = f"/v1/queues/{work.queue}"
    async with httpx.AsyncClient(base_url=house.url) as http:
        (failure,) = (await http.get(f"{path}/failures")).json()["data"]
        assert failure["count"] == 3
        none = (await http.post(f"{path}/redrive", json={"error_code": "no_such"})).json()
        assert none["redriven"] == 0
        some = (await http.post(f"{path}/redrive", json={"error_code": failure["error_code"]})).json()
        assert some["redriven"] == 3
    async with httpx.AsyncClient(base_url=house.locked, headers=ONE) as http:
        assert (await http.get(f"{path}/failures")).json()["data"] == [], "those of another tenant are not counted"


@pytest.mark.parametrize("body", [{}, {"ids": ["a"], "all": True}, {"error_code": 3}, {"error_code": ""}, {"all": 1}])
async def test_which_failures_are_meant_is_never_guessed(house: House, work: Work, body: Any) -> None:
    async with httpx.AsyncClient(base_url=house.url) as http:
        answer = await http.post(f"/v1/queues/{work.queue}/redrive", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in ("ids", "error_code", "all")
