"""Fixtures for commands against a real store, run in this process through the same function as the script."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.cli.main import run
from taskfleet.controller.policy import queue_policy
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import QueueKey, TaskError, Usage
from taskfleet.store import Store

T = TypeVar("T")


@dataclass
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The only line of stdout."""
        (line,) = self.out.splitlines()
        value: dict[str, Any] = json.loads(line)
        return value

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Taskfleet = Callable[..., Done]


@pytest.fixture
def taskfleet(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Taskfleet:
    """Run a command line; ``stdin`` is what it reads."""
    redirected = tmp_path_factory.mktemp("redirected") / "stdin"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(redirected.parent))  # what this machine's user has set is not ours

    def call(*arguments: object, stdin: bytes = b"") -> Done:
        redirected.write_bytes(stdin)
        capfd.readouterr()
        with redirected.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = run([str(argument) for argument in arguments])
        printed = capfd.readouterr()
        return Done(code, printed.out, printed.err)

    return call


class Remote:
    """The queue ``name`` in a store elsewhere, found by TASKFLEET_STORE_URL."""

    def __init__(self, url: str, key: QueueKey) -> None:
        self.url = url
        self.key = key
        self.name = str(key)

    def ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        async def connected() -> T:
            store = await Store.connect(self.url)
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(connected())

    def pending(self) -> int:
        stats = self.ask(lambda store: store.stats(self.key))
        assert stats is not None
        return stats.pending

    def work(self, *, failing: str = "", count: int = 1000) -> int:
        """Take up to ``count`` tasks and end them as a worker would; those whose body has ``failing`` in it fail."""

        async def settle(store: Store) -> int:
            claim = await store.claim(self.key, "w-1", ["small", "large"], count)
            await store.settle(
                self.key,
                [
                    Settlement(task.id, task.fence, Verdict.FAIL, error=TaskError("bad_request", "no such thing", 400))
                    if failing and failing.encode() in task.body
                    else Settlement(
                        task.id, task.fence, Verdict.COMPLETE, output=f"did {task.id}", usage=Usage(3, 2), endpoint="e"
                    )
                    for task in claim.tasks
                ],
            )
            return len(claim.tasks)

        return self.ask(settle)


SPEC = TaskQueueSpec.model_validate(
    {
        "models": [{"name": "small", "aliases": ["fast"]}, {"name": "large"}],
        "limits": {"maxTaskBytes": "2Ki", "maxPending": 200_000},
    }
)


@pytest.fixture
def remote(store_url: str, queue: QueueKey, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A queue with the models small (alias fast) and large, and tasks of at most 2 KiB."""
    monkeypatch.setenv("TASKFLEET_STORE_URL", store_url)
    own = Remote(store_url, queue)
    own.ask(lambda store: store.put_policy(queue, queue_policy(SPEC)))
    return own
