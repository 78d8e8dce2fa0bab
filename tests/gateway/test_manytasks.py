"""Many tasks over HTTP: submitted as lines, looked up, cancelled and listed in one call each."""

from typing import Any

import orjson
import pytest

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import TaskError
from taskfleet.gateway import jsonl, manytasks
from tests.gateway.conftest import Site
from tests.support.workerprocess import MODEL

JSONL = {"Content-Type": "application/x-ndjson"}


async def send(site: Site, *lines: Any, **query: str) -> Any:
    body = b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)
    return await site.http.post("/v1/tasks", content=body, headers=JSONL, params=query)


async def counted(site: Site) -> int:
    stats = await site.work.store.stats(site.queue)
    assert stats is not None
    return stats.counters["enqueued"]


async def listed(site: Site, **query: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = (await site.get("/v1/tasks", params={**query, **more})).json()
        found += page["data"]
        if not page["has_more"]:
            assert page["next"] is None
            return found
        more = {"after": page["next"]}


async def test_lines_are_tasks_of_any_number(site: Site) -> None:
    lines = [{"id": f"t-{number}", "prompt": "x"} for number in range(3000)]
    answer = await send(site, *lines, b"  ", batch="mine")
    assert (answer.status_code, answer.json()["total"], answer.json()["new"]) == (202, 3000, 3000)
    found = await listed(site, batch="mine", limit="1000")
    assert [task["id"] for task in found] == [line["id"] for line in lines]


async def test_a_body_that_is_larger_than_memory_has_room_for_is_read_from_disk(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_IN_MEMORY", 1000)
    answer = await send(site, *({"prompt": "x" * 100} for _ in range(500)))
    assert answer.json()["new"] == 500


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        ([{"prompt": "x"}, b"{broken"], 400, "line 2: not JSON: "),
        ([{"prompt": "x"}, b"[1]"], 400, "line 2: a task is a JSON object"),
        ([{"prompt": "x"}, b"", {"prompt": "x", "priority": "urgent"}], 400, "line 3: priority: "),
        ([{"prompt": "x"}, {"prompt": "x", "model": "gpt-9"}], 404, "line 2: model: 'gpt-9' is not offered"),
        ([{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], 409, "id: a task 'a' is already in this queue"),
        ([b" ", b""], 400, "body: there is no task in it"),
    ],
)
async def test_one_wrong_line_and_none_is_taken(site: Site, lines: list[Any], status: int, words: str) -> None:
    for before in ([], [{"prompt": "x"}] * 2500):  # in one step of the store, and in several
        if not before or words.startswith(("id", "body")):
            answer = await send(site, *before, *lines)
            if before and words.startswith("body"):
                continue
            assert answer.status_code == status
            assert answer.json()["error"]["message"].startswith(words), answer.text
    assert await counted(site) in (0, 2500)


async def test_a_name_that_is_none_and_a_key_for_many_are_refused(site: Site) -> None:
    assert (await send(site, {"prompt": "x"}, batch="two words")).status_code == 400
    answer = await site.http.post("/v1/tasks", content=b'{"prompt": "x"}', headers={**JSONL, "Idempotency-Key": "k"})
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert await counted(site) == 0


async def test_a_double_is_named_in_a_header(site: Site) -> None:
    await send(site, {"id": "a", "prompt": "x"})
    again = await send(site, {"id": "a", "prompt": "x"})
    assert (again.status_code, again.headers["taskfleet-task"]) == (409, "a")


async def test_many_are_looked_up_in_order_and_null_is_what_is_not_there(site: Site) -> None:
    await send(site, *({"id": each, "prompt": "x", "metadata": {"n": each}} for each in ("a", "b")))
    answer = (await site.post("/v1/tasks/lookup", {"ids": ["b", "nobody", "a"]})).json()
    assert [task and task["id"] for task in answer["data"]] == ["b", None, "a"]
    assert not answer["has_more"]
    assert answer["data"][0]["metadata"] == {"n": "b"}
    assert answer["data"][0]["history"] == []


async def test_an_answer_that_would_be_large_has_the_first_of_them(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manytasks, "ANSWER_BYTES", 1000)
    await send(site, *({"id": f"t-{number}", "prompt": "x"} for number in range(250)), batch="b")
    ids = [f"t-{number}" for number in range(250)]
    answer = (await site.post("/v1/tasks/lookup", {"ids": ids})).json()
    assert [task["id"] for task in answer["data"]] == ids[:100]
    assert answer["has_more"]
    assert [task["id"] for task in await listed(site, batch="b", limit="200")] == ids


async def test_many_are_cancelled_together(site: Site) -> None:
    await send(site, *({"id": each, "prompt": "x"} for each in ("a", "b", "c")))
    (lease,) = (await site.work.store.claim(site.queue, "w", [MODEL], 1)).tasks
    await site.post("/v1/tasks/b/cancel")
    answer = (await site.post("/v1/tasks/cancel", {"ids": ["a", "b", "c", "nobody"]})).json()
    assert lease.id == "a"
    assert answer["outcome"] == {"a": "cancelling", "b": "finished", "c": "cancelled", "nobody": "not_found"}


async def test_failed_tasks_are_listed_from_the_oldest_on_in_pages(site: Site) -> None:
    ids = [f"t-{number:02}" for number in range(25)]
    await send(site, *({"id": each, "prompt": "x"} for each in ids))
    leases = (await site.work.store.claim(site.queue, "w", [MODEL], 100)).tasks
    error = TaskError("mine", "it went wrong")
    ends = [Settlement(lease.id, lease.fence, Verdict.FAIL, error=error) for lease in leases]
    await site.work.store.settle(site.queue, ends)  # all in one moment: pages divide them by id
    first = (await site.get("/v1/tasks", params={"status": "failed", "limit": "10"})).json()
    assert [task["id"] for task in first["data"]] == ids[:10]
    assert first["data"][0]["failed_at"].endswith("Z")
    assert first["data"][0]["error"]["message"] == "it went wrong"
    await site.post(f"/v1/queues/{site.queue}/purge", {"ids": ids[:12]})
    rest = await listed(site, status="failed", limit="10", after=first["next"])
    assert [task["id"] for task in rest] == ids[12:], "also when the last one that was seen is gone"


@pytest.mark.parametrize(
    ("path", "query", "body", "param"),
    [
        ("/v1/tasks", {"batch": "b", "status": "failed"}, None, "batch"),
        ("/v1/tasks", {"batch": "nobody"}, None, "batch"),
        ("/v1/tasks", {"batch": "mine", "after": "nobody"}, None, "after"),
        ("/v1/tasks", {"status": "failed", "after": "x"}, None, "after"),
        ("/v1/tasks", {"status": "failed", "limit": "5000"}, None, "limit"),
        ("/v1/tasks/lookup", {}, {"ids": []}, "ids"),
        ("/v1/tasks/lookup", {}, {"ids": [1]}, "ids"),
        ("/v1/tasks/lookup", {}, {"ids": ["x"] * 1001}, "ids"),
        ("/v1/tasks/cancel", {}, {"id": "x"}, "id"),
    ],
)
async def test_what_is_asked_wrong_is_named(
    site: Site, path: str, query: dict[str, str], body: dict[str, Any] | None, param: str
) -> None:
    await send(site, {"prompt": "x"}, batch="mine")
    answer = await (site.get(path, params=query) if body is None else site.post(path, body))
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param, answer.text
