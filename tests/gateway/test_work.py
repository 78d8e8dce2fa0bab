"""Work from outside: tasks leased over HTTP, kept, ended, and refused to whoever lost them."""

import asyncio
from typing import Any

import pytest

from taskfleet.core.task import TaskState
from tests.gateway.conftest import Site
from tests.support.waiting import eventually
from tests.support.workerprocess import MODEL


def queue_path(site: Site, what: str) -> str:
    return f"/v1/queues/{site.queue}/{what}"


async def claim(site: Site, worker: str = "outside", **more: Any) -> dict[str, Any]:
    answer = await site.post(queue_path(site, "claim"), {"worker": worker, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def submit(site: Site, *ids: str, **more: Any) -> None:
    answer = await site.post("/v1/tasks", {"tasks": [{"id": each, "prompt": f"do {each}", **more} for each in ids]})
    assert answer.status_code == 202, answer.text


async def state_of(site: Site, task_id: str) -> TaskState:
    (view,) = await site.work.store.get(site.queue, [task_id])
    assert view is not None
    return view.state


async def test_a_task_is_claimed_kept_and_completed(site: Site) -> None:
    await submit(site, "t")
    found = await claim(site, models=[MODEL])
    (lease,) = found["data"]
    assert (lease["id"], lease["attempt"], lease["model"]) == ("t", 1, MODEL)
    assert lease["body"]["messages"] == [{"role": "user", "content": "do t"}]
    assert found["lease_seconds"] > 0
    beat = await site.post(queue_path(site, "heartbeat"), {"worker": "outside", "leases": {"t": lease["fence"]}})
    assert (beat.json()["lost"], beat.json()["cancelled"]) == ([], [])
    done = await site.post("/v1/tasks/t/complete", {"output": "done", "fence": lease["fence"]})
    assert (done.json()["status"], done.json()["output"], done.json()["worker"]) == ("completed", "done", "outside")
    assert (await claim(site))["data"] == []


async def test_many_leases_are_ended_in_one_call_each_as_a_whole(site: Site) -> None:
    await submit(site, "a", "b", "c", "d")
    fences = {lease["id"]: lease["fence"] for lease in (await claim(site, count=10))["data"]}
    ends: list[dict[str, Any]] = [
        {"id": "a", "verdict": "complete", "output": {"x": [1]}, "usage": {"input_tokens": 3}},
        {"id": "b", "verdict": "fail", "error": {"code": "mine", "message": "no"}},
        {"id": "c", "verdict": "release"},
        {"id": "d", "verdict": "complete", "output": "late"},
    ]
    said = [{**end, "fence": fences[end["id"]] + (end["id"] == "d")} for end in ends]
    answer = await site.post(queue_path(site, "settle"), {"ends": said})
    assert answer.json()["accepted"] == [True, True, True, False]
    states = [await state_of(site, each) for each in "abcd"]
    assert states == [TaskState.COMPLETED, TaskState.FAILED, TaskState.PENDING, TaskState.RUNNING]


async def test_a_task_that_had_all_its_attempts_is_not_tried_again_whatever_its_worker_says(site: Site) -> None:
    await submit(site, "t")
    for attempt in (1, 2, 3):  # the queue's maxAttempts
        (lease,) = (await claim(site))["data"]
        assert lease["attempt"] == attempt
        error = {"code": "mine", "message": f"attempt {attempt}"}
        end = {"id": "t", "fence": lease["fence"], "verdict": "retry", "error": error}
        assert (await site.post(queue_path(site, "settle"), {"ends": [end]})).json()["accepted"] == [True]
    task = (await site.get("/v1/tasks/t")).json()
    assert (task["status"], task["error"]["message"]) == ("failed", "attempt 3")
    assert [each["error"]["message"] for each in task["history"]] == ["attempt 1", "attempt 2"]


async def test_who_waits_gets_a_task_as_it_comes(site: Site) -> None:
    waiting = asyncio.create_task(claim(site, wait=20))
    await eventually(lambda: not waiting.done(), "it to wait")
    await submit(site, "t")
    async with asyncio.timeout(5):
        assert [lease["id"] for lease in (await waiting)["data"]] == ["t"]
    assert (await claim(site, wait=0.2))["data"] == []


async def test_what_was_claimed_for_one_who_hung_up_is_back_at_once(site: Site) -> None:
    hanging = asyncio.create_task(claim(site, wait=30))
    await asyncio.sleep(0.2)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await submit(site, "t")

    async def taken() -> Any:
        return (await claim(site, "another"))["data"]

    (lease,) = await eventually(taken, "another worker to get it", timeout=1.5)
    assert (lease["id"], lease["attempt"]) == ("t", 1)


async def test_a_lease_that_is_lost_says_so_and_its_holder_changes_nothing(site: Site) -> None:
    await submit(site, "t")
    (lease,) = (await claim(site, "first"))["data"]
    old = {"fence": lease["fence"]}
    release = {"id": "t", "verdict": "release", **old}
    await site.post(queue_path(site, "settle"), {"ends": [release]})
    (newer,) = (await claim(site, "second"))["data"]
    assert newer["fence"] > lease["fence"]
    for path, body in (("complete", {"output": "x"}), ("fail", {"message": "x"}), ("progress", {"fraction": 0.5})):
        refused = await site.post(f"/v1/tasks/t/{path}", {**body, **old})
        assert refused.status_code == 409, path
        assert "fence: task 't' in" in refused.json()["error"]["message"]
    beat = await site.post(queue_path(site, "heartbeat"), {"worker": "first", "leases": {"t": lease["fence"]}})
    assert beat.json()["lost"] == ["t"]
    assert await state_of(site, "t") is TaskState.RUNNING


async def test_a_heartbeat_tells_what_was_cancelled_and_may_keep_a_lease_for_long(site: Site) -> None:
    await submit(site, "t")
    (lease,) = (await claim(site))["data"]
    leases = {"t": lease["fence"]}
    said = {"worker": "outside", "leases": leases, "lease_seconds": 600, "report": {"slots": 3, "models": [MODEL]}}
    assert (await site.post(queue_path(site, "heartbeat"), said)).json()["lost"] == []
    (report,) = await site.work.store.workers(site.queue)
    assert (report.worker, report.slots, report.models) == ("outside", 3, (MODEL,))
    await site.post("/v1/tasks/t/cancel")
    assert (await site.post(queue_path(site, "heartbeat"), said)).json()["cancelled"] == ["t"]
    end = {"ends": [{"id": "t", "fence": lease["fence"], "verdict": "cancel"}]}
    assert (await site.post(queue_path(site, "settle"), end)).json()["accepted"] == [True]
    assert await state_of(site, "t") is TaskState.CANCELLED
    gone = await site.http.delete(queue_path(site, "workers/outside"))
    assert gone.status_code == 200
    assert await site.work.store.workers(site.queue) == []


async def test_pieces_of_an_answer_are_read_as_they_are_told(site: Site) -> None:
    await submit(site, "t", stream=True)
    (lease,) = (await claim(site))["data"]
    held = {"id": "t", "fence": lease["fence"]}
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
    said = {"publications": [{**held, "first": 1, "chunks": [chunk], "about": {"model": MODEL}}]}
    for _ in range(2):  # the second time it is there already
        assert (await site.post(queue_path(site, "publish"), said)).json()["accepted"] == [True]
    await site.post("/v1/tasks/t/complete", {"output": "Hi", "fence": lease["fence"]})
    told = (await site.get("/v1/tasks/t/events")).text
    assert told.count('"content":"Hi"') == 1
    assert told.rstrip().splitlines()[-3:][0] == "event: finished"


@pytest.mark.parametrize(
    ("what", "body", "words"),
    [
        ("claim", {}, "worker: field required"),
        ("claim", {"worker": ""}, "worker: string should have at least 1 character"),
        ("claim", {"worker": "w", "count": 0}, "count: input should be greater than or equal to 1"),
        ("claim", {"worker": "w", "wait": 1e9}, "wait: input should be less than or equal to 60"),
        ("claim", {"worker": "w", "colour": 1}, "colour: extra inputs are not permitted"),
        ("claim", {"worker": "w", "models": "m"}, "models: input should be a valid list"),
        ("heartbeat", {"worker": "w", "leases": {"t": "x"}}, "leases.t: input should be a valid integer"),
        ("heartbeat", {"worker": "w", "report": {"slots": "many"}}, "report.slots: input should be a valid integer"),
        ("settle", {"ends": []}, "ends: list should have at least 1 item"),
        ("settle", {"ends": [{"id": "t", "fence": 1, "verdict": "win"}]}, "ends[0].verdict: input should be"),
        (
            "settle",
            {"ends": [{"id": "t", "fence": 1, "verdict": "fail", "error": "no"}]},
            "ends[0].error: input should",
        ),
        ("settle", {"ends": [{"id": "t", "fence": 1, "verdict": "retry"}]}, "ends[0]: retry needs an error"),
        ("publish", {"publications": [{"id": "t", "fence": 1, "first": 0, "chunks": []}]}, "publications[0].first: "),
    ],
)
async def test_what_a_worker_says_wrong_is_named(site: Site, what: str, body: dict[str, Any], words: str) -> None:
    answer = await site.post(queue_path(site, what), body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(words), answer.text
    assert answer.json()["error"]["param"] == words.partition(":")[0]
