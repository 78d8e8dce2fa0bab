"""Tasks over HTTP: submitted, looked at, waited for, cancelled, and ended by someone in a worker's place."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from taskfleet.core.task import QueueKey, TaskState
from tests.gateway.conftest import Site
from tests.support.modelstub import ModelStub
from tests.support.workerprocess import MODEL


async def test_a_task_line_is_a_task(served: Site) -> None:
    answer = await served.post("/v1/tasks", {"prompt": "Hi", "priority": "low", "metadata": {"row": 1}})
    assert answer.status_code == 202
    task = answer.json()
    assert (task["object"], task["queue"], task["priority"]) == ("task", str(served.queue), "low")
    result = (await served.get(f"/v1/tasks/{task['id']}/result", params={"wait": "20"})).json()
    assert result["status"] == "completed"
    assert result["output"] == "echo: Hi"
    assert result["metadata"] == {"row": 1}
    assert result["usage"] == {"input_tokens": 7, "output_tokens": 3}


async def test_many_tasks_are_a_batch_and_all_or_none(site: Site) -> None:
    answer = await site.post("/v1/tasks", {"tasks": [{"id": "a", "prompt": "1"}, {"prompt": "2"}], "batch": "mine"})
    assert answer.status_code == 202
    assert answer.json()["batch"] == "mine"
    assert answer.json()["data"][0] == {"id": "a", "object": "task"}
    refused = await site.post("/v1/tasks", {"tasks": [{"id": "b", "prompt": "1"}, {"id": "a", "prompt": "2"}]})
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "duplicate_task"
    counts = await site.work.store.batch(site.queue, "mine")
    assert counts is not None
    assert counts.total == 2
    assert await site.work.views(["b"]) == []


async def test_the_same_key_again_is_the_same_task(site: Site) -> None:
    first = await site.post("/v1/tasks", {"prompt": "Hi"}, headers={"Idempotency-Key": "k"})
    again = await site.post("/v1/tasks", {"prompt": "Hi"}, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]


async def test_a_status_says_how_many_are_before(site: Site) -> None:
    await site.post("/v1/tasks", {"tasks": [{"id": f"t-{number}", "prompt": "x"} for number in range(3)]})
    status = (await site.get("/v1/tasks/t-2/status")).json()
    assert (status["status"], status["ahead"]) == ("pending", 2)


async def test_a_result_is_waited_for_and_not_longer_than_asked(site: Site) -> None:
    await site.post("/v1/tasks", {"id": "t", "prompt": "x"})
    began = time.monotonic()
    answer = await site.get("/v1/tasks/t/result?wait=0.5")
    assert answer.status_code == 202
    assert time.monotonic() - began > 0.4
    assert answer.json()["status"] == "pending"
    assert (await site.get("/v1/tasks/t/result")).status_code == 202
    refused = await site.get("/v1/tasks/t/result?wait=forever")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "wait")


async def test_who_waits_hears_of_the_end_at_once(site: Site) -> None:
    await site.post("/v1/tasks", {"id": "t", "prompt": "x"})

    async def wait() -> tuple[float, Any]:
        answer = await site.get("/v1/tasks/t/result?wait=15")
        return time.monotonic(), answer.json()

    waiting = [asyncio.create_task(wait()) for _ in range(20)]
    await asyncio.sleep(0)
    cancelled = await site.post("/v1/tasks/t/cancel")
    done = time.monotonic()
    assert cancelled.json()["status"] == "cancelled"
    for ended, result in await asyncio.gather(*waiting):
        assert ended - done < 2
        assert result["status"] == "cancelled"


async def test_an_ended_task_is_not_cancelled(served: Site) -> None:
    await served.post("/v1/tasks", {"id": "t", "prompt": "x"})
    await served.work.finished(["t"])
    refused = await served.post("/v1/tasks/t/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "already_ended")


@pytest.mark.parametrize("path", ["none-such", "none-such/status", "none-such/result", "no%20id", "x" * 200])
async def test_a_task_that_is_not_there_is_a_404(site: Site, path: str) -> None:
    assert (await site.get(f"/v1/tasks/{path}")).status_code == 404


async def test_a_claimed_task_is_ended_by_hand(site: Site) -> None:
    await site.post("/v1/tasks", {"tasks": [{"id": "a", "prompt": "1"}, {"id": "b", "prompt": "2"}]})
    refused = await site.post("/v1/tasks/a/complete", {"output": "done"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_claimed")
    await site.work.store.claim(site.queue, "me", [MODEL], 2)
    done = await site.post("/v1/tasks/a/complete", {"output": {"summary": "done", "data": [1]}})
    assert done.json()["status"] == "completed"
    failed = await site.post("/v1/tasks/b/fail", {"message": "There is no such file", "code": "missing"})
    assert failed.json()["status"] == "failed"
    assert failed.json()["error"] == {"code": "missing", "message": "There is no such file", "status": None}
    again = await site.post("/v1/tasks/a/complete", {"output": "other"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_ended")


async def test_a_failure_that_may_be_tried_again_waits_for_its_next_attempt(site: Site) -> None:
    await site.post("/v1/tasks", {"id": "a", "prompt": "1"})
    await site.work.store.claim(site.queue, "me", [MODEL], 1)
    answer = await site.post("/v1/tasks/a/fail", {"message": "away", "retry": True})
    assert answer.json()["status"] == "pending"
    assert answer.json()["attempts"] == 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("complete", {}, "output"),
        ("complete", {"output": 7}, "output"),
        ("complete", {"output": "x", "more": 1}, "more"),
        ("fail", {}, "message"),
        ("fail", {"message": "x", "code": "two words"}, "code"),
        ("fail", {"message": "x", "retry": "yes"}, "retry"),
    ],
)
async def test_an_end_says_what_it_lacks(site: Site, path: str, body: Any, param: str) -> None:
    await site.post("/v1/tasks", {"id": "a", "prompt": "1"})
    answer = await site.post(f"/v1/tasks/a/{path}", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_queues_are_listed_with_their_numbers(site: Site) -> None:
    await site.post("/v1/tasks", {"prompt": "x", "priority": "critical"})
    there = {queue["id"]: queue for queue in (await site.get("/v1/queues")).json()["data"]}
    assert there[str(site.queue)]["models"] == [MODEL]
    stats = (await site.get(f"/v1/queues/{site.queue}/stats")).json()
    assert (stats["pending"], stats["depth"]["critical"]) == (1, 1)
    assert (await site.get(f"/v1/queues/{site.queue.name}/stats")).json() | {"now": ""} == stats | {"now": ""}
    assert (await site.get("/v1/queues/none/stats")).status_code == 404


async def test_a_queue_of_another_version_is_listed_with_its_trouble_and_hides_no_other(site: Site) -> None:
    other = QueueKey("test", f"{site.queue.name}-3")
    policy = await site.work.store.policy(site.queue)
    assert policy is not None
    await site.work.store.put_policy(other, replace(policy, spec={"colour": "blue"}))
    there = {queue["id"]: queue for queue in (await site.get("/v1/queues")).json()["data"]}
    assert "written by another version" in there[str(other)]["trouble"]
    assert there[str(site.queue)]["models"] == [MODEL]


async def test_a_dropped_queue_is_no_longer_listed(site: Site) -> None:
    other = QueueKey("test", f"{site.queue.name}-2")
    policy = await site.work.store.policy(site.queue)
    assert policy is not None
    await site.work.store.put_policy(other, policy)
    assert other in await site.work.store.queues()
    await site.work.store.drop_queue(other)
    assert other not in await site.work.store.queues()


async def test_a_queue_is_paused_and_resumed(served: Site, model: ModelStub) -> None:
    path = f"/v1/queues/{served.queue}"
    assert (await served.post(f"{path}/pause", {"for": "1h"})).json()["paused_until"] is not None
    await served.post("/v1/tasks", {"id": "t", "prompt": "x"})
    assert (await served.get("/v1/tasks/t/result?wait=0.3")).status_code == 202
    assert model.calls == {}
    assert (await served.post(f"{path}/resume")).json()["was_paused"] is True
    assert (await served.get("/v1/tasks/t/result?wait=10")).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"for": "soon"}, "for"),
        ({"for": 5}, "for"),
        ({"until": "noon"}, "until"),
        ({"until": 5}, "until"),
        ({"until": "2030-01-01T00:00:00Z", "for": "1h"}, "until"),
        ({"how": 1}, "how"),
    ],
)
async def test_a_pause_that_is_none_is_refused(site: Site, body: Any, param: str) -> None:
    answer = await site.post(f"/v1/queues/{site.queue}/pause", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_dead_letters_are_redriven_and_purged(site: Site) -> None:
    path = f"/v1/queues/{site.queue}"
    await site.post("/v1/tasks", {"tasks": [{"id": name, "prompt": "x"} for name in "abc"]})
    await site.work.store.claim(site.queue, "me", [MODEL], 3)
    for name in "abc":
        await site.post(f"/v1/tasks/{name}/fail", {"message": "no"})
    redriven = (await site.post(f"{path}/redrive", {"ids": ["a", "nobody"]})).json()
    assert (redriven["redriven"], redriven["others"]) == (1, {"nobody": "not_found"})
    assert (await site.work.views(["a"]))[0].state is TaskState.PENDING
    assert (await site.post(f"{path}/purge", {"all": True})).json()["purged"] == 2
    assert await site.work.views(["b", "c"]) == []
    for body in ({}, {"ids": "a"}, {"ids": [7]}, {"all": "yes"}, {"all": True, "ids": []}):
        assert (await site.post(f"{path}/purge", body)).status_code == 400
