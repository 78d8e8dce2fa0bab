"""A real worker process for tests: started, watched through its log lines, signalled, and never left behind."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.controller.policy import queue_policy
from taskfleet.core.settlement import QueuePolicy
from taskfleet.core.task import NewTask, QueueKey
from tests.support.waiting import eventually
from tests.support.workerprograms import FreshWorker, WarmWorker

MODEL = "stub"


class WorkerProcess:
    """The program of a worker with JSON logs, which are kept in ``lines``. ``fresh``: started as
    ``python -m taskfleet.worker``, else forked from a process that has loaded it."""

    def __init__(self, environment: Mapping[str, str], *, fresh: bool) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKFLEET_")}
        log, stderr = os.pipe()
        self._program = (FreshWorker if fresh else WarmWorker)(
            {**inherited, "TASKFLEET_LOG_FORMAT": "json", **environment}, stderr
        )
        os.close(stderr)
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, args=[log], daemon=True)
        self._reader.start()

    def _read(self, log: int) -> None:
        with open(log, errors="replace") as stream:
            for line in stream:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"message": line.rstrip()})

    def said(self, words: str) -> dict[str, Any] | None:
        """The first log line with ``words`` in its message or its reason."""
        return next((line for line in self.lines if words in f"{line['message']} {line.get('reason', '')}"), None)

    async def says(self, message: str, *, timeout: float = 60.0) -> dict[str, Any]:  # noqa: ASYNC109
        """What ``said`` finds, waited for."""
        try:
            found = await eventually(lambda: self.said(message), f"the worker to say {message!r}", timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said {self.lines}") from None
        assert found is not None
        return found

    async def port(self) -> int:
        return int((await self.says("status server is up"))["port"])

    def signal(self, number: int) -> None:
        self._program.signal(number)

    @property
    def pid(self) -> int:
        return self._program.pid

    @property
    def running(self) -> bool:
        return self._program.exit_code() is None

    async def exit_code(self, *, timeout: float = 60.0) -> int:  # noqa: ASYNC109
        await eventually(lambda: not self.running, "the worker process to end", timeout=timeout)
        self._reader.join(5)
        code = self._program.exit_code()
        assert code is not None
        return code

    def end(self) -> None:
        self._program.end()
        self._reader.join(5)


@contextmanager
def worker_process(
    store_url: str,
    queue: QueueKey,
    url: str,
    *,
    concurrency: int = 4,
    name: str = "",
    grace: float = 30.0,
    port: str = "",
    endpoint: Mapping[str, Any] | None = None,
    fresh: bool = False,
    **more: str,
) -> Iterator[WorkerProcess]:
    """A worker of a pool named ``pool`` on an endpoint named ``stub``; killed at the end if it is still there.

    ``endpoint`` has more fields of it, in camelCase. ``fresh``: no memory is shared with other processes, and what is
    set in ``more`` holds from the program's very beginning.
    """
    process = WorkerProcess(
        {
            "TASKFLEET_STORE_URL": store_url,
            "TASKFLEET_QUEUE": str(queue),
            "TASKFLEET_POOL": "pool",
            "TASKFLEET_ENDPOINT": json.dumps(stub_endpoint(url, concurrency).to_wire() | dict(endpoint or {})),
            "TASKFLEET_PORT": port,
            "TASKFLEET_GRACE_SECONDS": str(grace),
            **({"TASKFLEET_WORKER": name} if name else {}),
            **more,
        },
        fresh=fresh,
    )
    try:
        yield process
    finally:
        process.end()


def stub_endpoint(url: str, concurrency: int = 4) -> Endpoint:
    return Endpoint(name="stub", url=url, models=[MODEL], concurrency=concurrency)


def quick_policy(**spec: Any) -> QueuePolicy:
    """A policy with short times; ``spec`` are fields of a TaskQueue, in camelCase."""
    quick = {
        "models": [{"name": MODEL}],
        "leaseDuration": "2s",
        "taskTimeout": "20s",
        "retry": {"maxAttempts": 3, "initialDelay": "50ms", "maxDelay": "200ms"},
    }
    return queue_policy(TaskQueueSpec.model_validate(quick | spec))


def prompts(*texts: str, stream: bool = False) -> list[NewTask]:
    """One task for each text; the text is its id and its prompt."""
    more = {"stream": True} if stream else {}
    return [
        NewTask(
            text,
            MODEL,
            orjson.dumps({"messages": [{"role": "user", "content": text}], "parameters": {}, **more}),
            events=stream,
        )
        for text in texts
    ]
