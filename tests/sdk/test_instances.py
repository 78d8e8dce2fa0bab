"""Model servers are found on this machine, asked for their models, and share the calls by the queue's strategy."""

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp import web

from taskfleet import ParallelTaskQueue, TaskResult
from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import InputError, NoModelServer, WaitTimeout
from taskfleet.core.pool import EndpointObserved, Strategy
from taskfleet.providers.discovery import USUAL_PORTS, NotAModelServer, ask_server, find_local_servers
from taskfleet.sdk.instances import found_endpoints
from taskfleet.sdk.standins import TRIED_AGAIN_AFTER, StandIns
from tests.sdk.conftest import QUICK
from tests.support.modelstub import ModelStub
from tests.support.valkeyserver import free_port


async def serve(answers: dict[str, object]) -> tuple[web.AppRunner, int]:
    """A server that answers these paths with JSON."""

    def answer(body: object):  # type: ignore[no-untyped-def]
        async def give(_request: web.Request) -> web.Response:
            return web.json_response(body)

        return give

    app = web.Application()
    for path, body in answers.items():
        app.router.add_get(path, answer(body))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


async def test_ollama_and_openai_servers_are_found_with_their_models_and_nothing_else_is(model: ModelStub) -> None:
    ollama, ollama_port = await serve({"/api/tags": {"models": [{"name": "llama3.2:1b"}, {"name": "qwen2.5:0.5b"}]}})
    website, website_port = await serve({"/": "hello", "/v1/models": ["not", "ours"]})
    empty, empty_port = await serve({"/v1/models": {"object": "list", "data": []}})
    ports = [ollama_port, website_port, empty_port, model.port, free_port()]
    found = await find_local_servers(ports)
    for runner in (ollama, website, empty):
        await runner.cleanup()
    assert [(server.url, server.provider, server.models) for server in found] == [
        (f"http://127.0.0.1:{ollama_port}", "ollama", ("llama3.2:1b", "qwen2.5:0.5b")),
        (f"http://127.0.0.1:{model.port}/v1", "openai", ("stub",)),
    ]
    assert "llama3.2:1b" in str(found[0])


async def test_a_server_that_hangs_costs_the_time_limit_once_however_many_there_are() -> None:
    asked_at_once, all_asked = asyncio.Barrier(5), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked_at_once.wait()
        all_asked.set()
        await reader.read()
        writer.close()

    servers = [await asyncio.start_server(hang, "127.0.0.1", 0) for _ in range(5)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    assert await find_local_servers(ports, timeout=2.0) == []
    assert all_asked.is_set()
    for server in servers:
        server.close()


async def test_without_any_server_the_error_says_where_was_looked_and_how_to_start_one() -> None:
    ports = {free_port(): "Ollama", free_port(): "vLLM"}
    with pytest.raises(NoModelServer, match=r"\(Ollama\), \d+ \(vLLM\); start one \(`ollama serve`.*handler="):
        await found_endpoints(4, Strategy.FASTEST, ports)
    assert {11434, 8000, 8080, 1234} <= set(USUAL_PORTS)


async def test_a_model_whose_name_cannot_be_one_gets_another_and_is_called_by_its_own() -> None:
    runner, port = await serve({"/v1/models": {"data": [{"id": "/models/my model.gguf"}, {"id": "org/fine"}]}})
    (endpoint,) = await found_endpoints(4, Strategy.FASTEST, {port: "llama.cpp"})
    await runner.cleanup()
    assert endpoint.models == ["my-model.gguf", "org/fine"]
    assert endpoint.remote_names == {"my-model.gguf": "/models/my model.gguf"}


async def test_a_refused_key_is_told_as_such() -> None:
    async def refuse(_request: web.Request) -> web.Response:
        raise web.HTTPUnauthorized

    app = web.Application()
    app.router.add_get("/v1/models", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with pytest.raises(NotAModelServer, match=r"refuses the API key \(HTTP 401\)"):
        await ask_server(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await runner.cleanup()


async def test_each_server_may_have_a_key_of_its_own() -> None:
    async with ModelStub(api_key="key-one") as one, ModelStub(api_key="key-two") as two:
        instances = [one.url, {"url": two.url, "name": "two", "models": ["other"], "api_key": "key-two"}]
        async with ParallelTaskQueue(instances, api_key="key-one") as queue:
            ids = [await queue.submit("p", model=model) for model in ("stub", "other")]
            assert [(await queue.wait_for_task(task_id)).status for task_id in ids] == ["completed", "completed"]
        with pytest.raises(InputError, match=r"instances\[0\]\.api_key: 7 is not a string"):
            await ParallelTaskQueue([{"url": one.url, "api_key": 7}]).start()


@pytest.mark.parametrize("strategy", ["least_loaded", "round_robin"])
async def test_equal_servers_get_equal_shares_and_no_more_calls_than_asked_for(strategy: str) -> None:
    together: list[int] = []

    def latency() -> float:
        together.append(one.inflight + two.inflight)
        return 0.02

    async with ModelStub(latency=latency) as one, ModelStub(latency=latency) as two:
        async with ParallelTaskQueue([one.url, two.url], max_workers=8, strategy=strategy) as queue:
            await queue.wait_for_batch(await queue.submit_batch([f"p{number}" for number in range(200)]))
        shares = sorted([one.answered.total(), two.answered.total()])
        assert sum(shares) == 200
        assert shares[0] >= 60, shares
        assert max(together) == 8


async def test_a_server_that_is_down_leaves_its_work_to_the_others() -> None:
    async with ModelStub() as well:
        down = {"url": f"http://127.0.0.1:{free_port()}/v1", "models": ["stub"], "name": "down"}
        async with ParallelTaskQueue([well.url, down], max_workers=4) as queue:
            results = await queue.wait_for_batch(
                await queue.submit_batch([f"p{number}" for number in range(60)]), timeout=25
            )
            assert {task.status for task in results} == {"completed"}
            assert set((await queue.get_stats()).endpoints) == {"openai-1"}


async def test_while_a_server_is_down_its_model_is_stood_in_for_and_the_result_says_so() -> None:
    port = free_port()
    away = {"url": f"http://127.0.0.1:{port}/v1", "models": ["large"], "name": "away"}
    rules = {"models": [{"name": "large", "fallbacks": ["stub"]}, {"name": "stub"}], **QUICK}
    async with ModelStub() as well, ParallelTaskQueue([away, well.url], policy=rules) as queue:
        task = await queue.wait_for_task(await queue.submit("x", model="large"), timeout=25)
        assert (task.status, task.requested_model, task.model) == ("completed", "large", "stub")
        assert task.result is not None and task.result.endpoint == "openai-2"
        async with ModelStub(port=port) as back:
            task = await served_by_itself(queue)
            assert task.result is not None and task.result.endpoint == "away"
            assert back.answered.total() >= 1


async def served_by_itself(queue: ParallelTaskQueue) -> TaskResult:
    """Submit for a model until nobody stands in for it; each of these tasks completes, wherever."""
    async with asyncio.timeout(25):
        while True:
            task = await queue.wait_for_task(await queue.submit("x", model="large"))
            assert task.status == "completed"
            if task.model == "large":
                return task


async def test_who_waits_in_vain_is_told_what_went_wrong_so_far() -> None:
    gone = {"url": f"http://127.0.0.1:{free_port()}/v1", "models": ["m"]}
    async with ParallelTaskQueue([gone]) as queue:
        task_id = await queue.submit("x")
        with pytest.raises(WaitTimeout, match=r"within 1 s \(so far: 127.0.0.1:\d+ refused the connection\)"):
            await queue.wait_for_task(task_id, timeout=1)


def test_a_server_that_is_to_be_tried_again_gets_one_task_after_who_stands_in_had_the_last_one() -> None:
    async def published(_serving: Mapping[str, str]) -> None: ...

    one, two = (Endpoint(name=name, url="http://h", models=[name]) for name in ("large", "small"))
    stand_ins = StandIns([one, two], {"large": ["small"]}, published)
    well, sick, unknown = (EndpointObserved(healthy=healthy) for healthy in (True, False, None))
    asyncio.run(stand_ins.decide({"large": sick, "small": well}))
    waiting = {"large": 3}
    assert stand_ins.wanted(waiting, {"large": sick, "small": well}, 1.0) == {"small": 3}
    assert stand_ins.wanted(waiting, {"large": unknown, "small": well}, 2.0) == {"small": 3}
    later = 2.0 + TRIED_AGAIN_AFTER
    assert stand_ins.wanted(waiting, {"large": unknown, "small": well}, later) == {"small": 3, "large": 1}
    asyncio.run(stand_ins.decide({"large": EndpointObserved(healthy=False, waits="a minute"), "small": well}))
    assert stand_ins.wanted(waiting, {"large": sick, "small": well}, later) == {"large": 3}, "who waits is well"
