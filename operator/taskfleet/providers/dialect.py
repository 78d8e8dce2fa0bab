"""What the protocols of model servers have in common: a JSON request, a JSON answer, and an outcome for all else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from taskfleet.core.errors import InputError
from taskfleet.core.operation import Operation
from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.answer import Answer, NoAnswer
from taskfleet.providers.call import Call
from taskfleet.providers.deltas import Said, say_all
from taskfleet.providers.http import HttpClient
from taskfleet.providers.refusals import is_missing, message_in, not_offered, refusal, server_words
from taskfleet.providers.streams import AnswerStream, ErrorInStream, NotACompletion, check_depth

Read = Callable[[Mapping[str, Any]], Ok]

# A server of chats may have none of these: no trouble of the endpoint's, and no reason to keep other tasks off it.
_MAY_BE_MISSING = frozenset(Operation) - {Operation.CHAT}
_OURS = ("model", "messages", "stream")
MANY_TOKENS = 2**31  # more than any call could have


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol. ``request`` gives the JSON to send (InputError: the task cannot be said in this protocol),
    ``completion`` reads the JSON of a 200 (NotACompletion), ``refused`` any other answer; ``headers`` go with every
    call and carry the key, "" when there is none. ``streaming`` is what a request says besides to be answered piece by
    piece, ``stream`` reads such an answer; ``streams`` has both for calls that stream in a way of their own. ``whole``
    reads the answers to OpenAI's own calls, where the protocol has them, and gives all of one as the output; a chat is
    answered with what was said where it has not.
    """

    path: str
    request: Callable[[Call], Mapping[str, Any]]
    completion: Callable[[Mapping[str, Any]], Ok]
    headers: Callable[[str], Mapping[str, str]]
    stream: Callable[[Said], AnswerStream]
    refused: Callable[[Answer], Outcome] = refusal
    streaming: Mapping[str, Any] = field(default_factory=lambda: {"stream": True})
    whole: Mapping[Operation, Read] = field(default_factory=dict)
    streams: Mapping[Operation | None, tuple[Mapping[str, Any], Callable[[Said], AnswerStream]]] = field(
        default_factory=dict
    )


def bearer(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def count(value: Any) -> int:
    """A number of tokens, 0 where the server says nothing sensible."""
    return value if isinstance(value, int) and 0 < value < MANY_TOKENS else 0


class HttpProvider:
    """A Provider that speaks one dialect over one HttpClient."""

    def __init__(self, http: HttpClient, dialect: Dialect) -> None:
        self._http = http
        self._dialect = dialect

    async def complete(self, call: Call) -> Outcome:
        if call.arguments is not None:
            words = f"arguments: {call.model} is a model and no tool; give prompt or messages"
            return Fatal(TaskError("bad_request", words))
        taken = [name for name in _OURS if name in call.parameters]
        if taken:
            return Fatal(TaskError("bad_request", f"parameters: a task may not set {', '.join(taken)}"))
        operation, path, read = call.operation, self._dialect.path, self._dialect.completion
        if operation is not None and operation in self._dialect.whole:
            path, read = operation.path, self._dialect.whole[operation]
        elif operation not in (None, Operation.CHAT):
            return not_offered(operation, "its provider has no such call")
        try:
            return await (self._streamed(call, path, read) if self._streams(call) else self._whole(call, path, read))
        except InputError as error:
            return Fatal(TaskError("bad_request", str(error)))
        except NoAnswer as failure:
            trouble = TaskError(failure.code, str(failure))
            return Retry(trouble) if failure.timed_out else EndpointDown(trouble, reached=failure.connected)

    async def close(self) -> None:
        await self._http.close()

    def _streams(self, call: Call) -> bool:
        """Whether somebody listens, and it is a call that can be answered piece by piece."""
        return call.said is not None and (
            call.operation in (None, Operation.CHAT) or call.operation in self._dialect.streams
        )

    async def _whole(self, call: Call, path: str, read: Read) -> Outcome:
        request = orjson.dumps(self._dialect.request(call))
        return self._outcome(call, await self._http.post(path, request, call.timeout), read)

    async def _streamed(self, call: Call, path: str, read: Read) -> Outcome:
        said = call.said
        assert said is not None
        asking, reader = self._dialect.streams.get(call.operation, (self._dialect.streaming, self._dialect.stream))
        stream = reader(said)
        request = orjson.dumps({**self._dialect.request(call), **asking})
        try:
            answer = await self._http.post(path, request, call.timeout, stream.line)
            if answer.streamed:
                return read(stream.whole())
        except ErrorInStream as trouble:
            body = self._http.redact(trouble.answer.body)
            return self._dialect.refused(Answer(trouble.answer.status, {}, body))
        except NotACompletion as lack:
            return _rubbish(f"a 200 {lack}")
        outcome = self._outcome(call, answer, read)
        if isinstance(outcome, Ok) and call.operation is not Operation.RESPONSES:  # of a server that does not stream
            say_all(said, outcome.output)
        return outcome

    def _outcome(self, call: Call, answer: Answer, read: Read) -> Outcome:
        if answer.status == 200:
            return _completion(answer, read)
        if call.operation in _MAY_BE_MISSING and is_missing(answer):
            return not_offered(call.operation, server_words(answer))
        return self._dialect.refused(answer)


def _completion(answer: Answer, read: Read) -> Outcome:
    try:
        data = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        kind = answer.headers.get("content-type", "no content type")
        return _rubbish(f"a 200 that is not JSON ({kind}, {len(answer.body)} bytes)")
    try:
        done = read(data if isinstance(data, Mapping) else {})
        if not isinstance(done.output, str):
            check_depth(done.output)
    except NotACompletion as lack:
        words = message_in(data)
        return _rubbish(f"a 200 {lack}{': ' + words if words else ''}")
    return done


def _rubbish(words: str) -> EndpointDown:
    return EndpointDown(TaskError("not_a_completion", words, 200))
