"""A Python function in place of a model server: it gets a task, and what it returns is the result."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from taskfleet.core.errors import InputError, InvalidTask
from taskfleet.core.events import MOST_MESSAGE, Progress
from taskfleet.core.outcome import Fatal, Ok, Outcome, Retry
from taskfleet.core.task import Priority, TaskError
from taskfleet.providers import Call
from taskfleet.providers.deltas import say_all
from taskfleet.providers.http import MAX_ANSWER_BYTES
from taskfleet.sdk.callers import text_of, words_of
from taskfleet.sdk.given import plain
from taskfleet.sdk.results import ASKED_MODEL, Readable

Report = Callable[[str, Progress], None]
Handler = Callable[["HandlerTask"], Awaitable[Any]] | Callable[["HandlerTask"], Any]


class HandlerTask(Readable):
    """A task in a handler's hands. ``prompt`` is the text of its last message; ``attempt`` counts from 1."""

    __slots__ = (
        "_report", "_tell", "attempt", "id", "messages", "metadata", "model", "parameters", "priority", "prompt",
    )  # fmt: skip
    FIELDS = ("id", "prompt", "messages", "model", "parameters", "metadata", "priority", "attempt")

    def __init__(self, call: Call, report: Report) -> None:
        self.id = call.task_id
        self.messages: Sequence[Mapping[str, Any]] = call.messages
        self.prompt = _text(call.messages[-1].get("content") if call.messages else "")
        self.parameters: Mapping[str, Any] = call.parameters
        self.metadata: Mapping[str, Any] = {key: call.metadata[key] for key in call.metadata if key != ASKED_MODEL}
        self.model: str = call.metadata.get(ASKED_MODEL, call.model)
        self.priority: Priority = call.priority
        self.attempt = call.attempt
        self._report = report
        self._tell = call.progress

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell whoever follows the queue how far it is: 0 to 1, and a word about it. From any thread."""
        told = Progress(min(max(float(fraction), 0.0), 1.0), message[:MOST_MESSAGE])
        self._report(self.id, told)
        self._tell(told)


class HandlerProvider:
    """Runs a handler as the worker's provider: the same leases, retries, time limit and cancellation as a call.

    A coroutine function runs on the loop, a plain function in a thread (which goes on after a cancel: Python cannot
    stop a thread). An InputError fails the task at once, any other exception is tried again as the queue's policy says.
    """

    def __init__(self, handler: Handler, report: Report, threads: int) -> None:
        self._handler = handler
        self._report = report
        self._awaits = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004  whether calling it gives a coroutine
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="taskfleet-handler")

    async def complete(self, call: Call) -> Outcome:
        try:
            async with asyncio.timeout(call.timeout) as limit:
                result = await self._run(HandlerTask(call, self._report))
            _check(result)
        except TimeoutError as error:
            if limit.expired():
                return Retry(TaskError("timeout", f"the handler did not end within {call.timeout:g} s"))
            return _failed(error)
        except InputError as error:
            return Fatal(TaskError(error.code, text_of(error)))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return _failed(error)  # it raised that itself
        except BaseException as error:  # SystemExit in a handler ends its task and not the program
            return _failed(error)
        if call.said is not None and isinstance(result, str):
            say_all(call.said, result)
        return Ok(result)

    async def _run(self, task: HandlerTask) -> Any:
        if self._awaits:
            return await self._handler(task)
        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(self._threads, self._called, task)
        if error is not None:
            raise error
        return await result if inspect.isawaitable(result) else result

    def _called(self, task: HandlerTask) -> tuple[Any, BaseException | None]:
        """What the handler returned or raised. No future is to carry that: one cannot hold a StopIteration, and ends
        whoever awaits it with a GeneratorExit."""
        try:
            return self._handler(task), None
        except BaseException as error:
            return None, error

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _check(result: Any) -> None:
    """Raises InvalidTask for what cannot be kept as a task's result."""
    plain("the handler's result", result)
    size = len(orjson.dumps(result))
    if size > MAX_ANSWER_BYTES:
        raise InvalidTask(
            f"the handler's result: it has {size} bytes as JSON, at most {MAX_ANSWER_BYTES} are kept, as of a model's "
            "answer; keep large data elsewhere"
        )


def _failed(error: BaseException) -> Retry:
    return Retry(TaskError("handler_error", words_of(error)))


def _text(content: Any) -> str:
    """The text of a message's content: itself, or that of its parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text", "") for part in parts if isinstance(part, Mapping))
