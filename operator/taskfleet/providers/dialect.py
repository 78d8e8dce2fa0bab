"""What the protocols of model servers have in common: a JSON request, a JSON answer, and an outcome for all else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from taskfleet.core.errors import InputError
from taskfleet.core.operation import Operation
from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.answers import message_in, refusal
from taskfleet.providers.call import Call
from taskfleet.providers.http import Answer, HttpClient, NoAnswer

_OURS = ("model", "messages", "stream")


class NotACompletion(Exception):
    """A 200 that is none: rubbish never completes a task. The text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol. ``request`` gives the JSON to send (InputError: the task cannot be said in this protocol),
    ``completion`` reads the JSON of a 200 (NotACompletion), ``refused`` any other answer; ``headers`` go with every
    call and carry the key, "" when there is none. ``whole`` reads the answers to OpenAI's own calls, where the protocol
    has them, and gives all of one as the output; a chat is answered with what was said where it has not.
    """

    path: str
    request: Callable[[Call], Mapping[str, Any]]
    completion: Callable[[Mapping[str, Any]], Ok]
    headers: Callable[[str], Mapping[str, str]]
    refused: Callable[[Answer], Outcome] = refusal
    whole: Mapping[Operation, Callable[[Mapping[str, Any]], Ok]] = field(default_factory=dict)


def bearer(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def count(value: Any) -> int:
    """A number of tokens, 0 where the server says nothing sensible."""
    return value if isinstance(value, int) and value > 0 else 0


class HttpProvider:
    """A Provider that speaks one dialect over one HttpClient."""

    def __init__(self, http: HttpClient, dialect: Dialect) -> None:
        self._http = http
        self._dialect = dialect

    async def complete(self, call: Call) -> Outcome:
        taken = [name for name in _OURS if name in call.parameters]
        if taken:
            return Fatal(TaskError("bad_request", f"parameters: a task may not set {', '.join(taken)}"))
        operation, path, completion = call.operation, self._dialect.path, self._dialect.completion
        if operation is not None and operation in self._dialect.whole:
            path, completion = operation.path, self._dialect.whole[operation]
        elif operation not in (None, Operation.CHAT):
            return Fatal(TaskError("bad_request", f"operation: this endpoint's provider has no {operation}"))
        try:
            request = orjson.dumps(self._dialect.request(call))
            answer = await self._http.post(path, request, call.timeout)
        except InputError as error:
            return Fatal(TaskError("bad_request", str(error)))
        except NoAnswer as failure:
            trouble = TaskError(failure.code, str(failure))
            return Retry(trouble) if failure.timed_out else EndpointDown(trouble, reached=failure.connected)
        return _completion(answer, completion) if answer.status == 200 else self._dialect.refused(answer)

    async def close(self) -> None:
        await self._http.close()


def _completion(answer: Answer, read: Callable[[Mapping[str, Any]], Ok]) -> Outcome:
    try:
        data = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        kind = answer.headers.get("Content-Type", "no content type")
        return _rubbish(f"a 200 that is not JSON ({kind}, {len(answer.body)} bytes)")
    try:
        return read(data if isinstance(data, Mapping) else {})
    except NotACompletion as lack:
        words = message_in(data)
        return _rubbish(f"a 200 {lack}{': ' + words if words else ''}")


def _rubbish(words: str) -> EndpointDown:
    return EndpointDown(TaskError("not_a_completion", words, 200))
