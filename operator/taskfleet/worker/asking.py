"""What a claimed task asks of its model: from the task's body to the outcome of one attempt."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.taskbody import decode_body
from taskfleet.core.errors import InputError, StoreError
from taskfleet.core.outcome import Fatal, Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers import Call, Provider
from taskfleet.worker.conversations import Conversations, Talk
from taskfleet.worker.policy import WorkPolicy
from taskfleet.worker.reports import Reports
from taskfleet.worker.runningcall import RunningCall
from taskfleet.worker.streams import Streams

log = logging.getLogger(__name__)


class Asking:
    """One endpoint, and what is told of a call while it runs."""

    def __init__(
        self,
        *,
        provider: Provider,
        endpoint: Endpoint,
        conversations: Conversations,
        streams: Streams,
        reports: Reports,
    ) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._conversations = conversations
        self._streams = streams
        self._reports = reports

    async def outcome(self, call: RunningCall, policy: WorkPolicy) -> Outcome | None:
        """None where the attempt says nothing of the task: it was interrupted, or its conversation cannot be read."""
        try:
            return await self._answer(call, policy)
        except StoreError as error:
            log.warning("a conversation could not be read", extra={"task": call.task.id, "error": str(error)})
        except asyncio.CancelledError:
            if call.interruption is None:
                raise
        except Exception as bug:
            # Ours, not the task's; but it burns an attempt, or a task that triggers it would come back forever.
            log.exception("a call broke the worker's own code", extra={"task": call.task.id})
            return Retry(TaskError("worker_error", f"the worker broke on this task: {type(bug).__name__}"))
        return None

    async def _answer(self, call: RunningCall, policy: WorkPolicy) -> Outcome:
        task = call.task
        try:
            body = decode_body(task.body)
        except InputError as error:
            return Fatal(TaskError(error.code, str(error)))
        messages: Sequence[Mapping[str, Any]] = body.messages
        talk: Talk | None = None
        if task.session is not None and policy.context_tokens is not None and body.messages:
            talk = await self._conversations.take_up(task.session, body.messages, policy.context_tokens)
            messages = talk.conversation.messages
        if body.stream:
            about = {"model": call.model, "endpoint": self._endpoint.name}
            call.stream = self._streams.open(task.id, task.fence, about)
        request = Call(
            model=self._endpoint.remote_names.get(call.model, call.model),
            messages=messages,
            parameters=body.parameters,
            timeout=policy.task_timeout,
            task_id=task.id,
            attempt=task.attempt,
            priority=task.priority,
            metadata=body.metadata,
            operation=body.operation,
            arguments=body.arguments,
            said=call.stream.said if call.stream else None,
            progress=self._reports.of(task),
        )
        outcome = await self._provider.complete(request)
        if talk is not None and isinstance(outcome, Ok):
            call.turn = talk.turn(outcome.output)
        return outcome
