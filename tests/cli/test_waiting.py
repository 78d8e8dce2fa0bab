"""`submit --wait` tells why nothing moves while it waits."""

import asyncio

import pytest

from taskfleet.api.taskreader import task_from_prompt
from taskfleet.cli import waiting
from taskfleet.cli.output import Output
from taskfleet.cli.target import Target
from taskfleet.controller.policy import queue_policy
from taskfleet.core.settlement import WorkerReport
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.cli.conftest import SPEC
from tests.support.waiting import eventually


async def test_what_workers_complain_of_is_told_once(
    store: Store, store_url: str, queue: QueueKey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "LISTEN_EVERY_SECONDS", 0.0)
    await store.put_policy(queue, queue_policy(SPEC))
    task = task_from_prompt("hello", spec=SPEC, task_id="t-1")
    await store.submit(queue, [task], batch="b")
    report = WorkerReport("w-1", "pool", "llm", slots=2, inflight=0, trouble="HTTP 500: the server had an error")
    await store.heartbeat(queue, report, {})
    target = Target(store_url, queue.namespace, (queue,))
    wait = asyncio.create_task(waiting.wait_for_batch(store, target, queue, "b", Output(as_json=False)))
    told: list[str] = []

    def listened() -> bool:
        told.append(capsys.readouterr().err)
        return len([look for look in told if look]) > 0

    await eventually(listened, "the complaint")
    await store.cancel(queue, ["t-1"])
    assert (await wait).cancelled == 1
    told.append(capsys.readouterr().err)
    assert "".join(told) == "trouble: pool/llm: HTTP 500: the server had an error\n"
