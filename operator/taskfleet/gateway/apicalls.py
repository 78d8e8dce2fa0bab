"""What may be called: each call with its words, an example of its body and of its answer. Of this ``openapi.py`` makes
a document. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.gateway.taskfilters import FILTERS

Example = Mapping[str, Any]
OBJECT: Example = {"type": "object"}
_MESSAGES = [{"role": "user", "content": "Name three colours."}]
_TASK = {"id": "t-1", "object": "task", "status": "pending", "queue": "default/demo"}
_DONE = {**_TASK, "status": "completed", "output": "red, green, blue", "error": None, "attempts": 1, "model": "smollm2"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
_CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "red, green, blue"},
    "finish_reason": "stop",
}
_CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "smollm2", "choices": [_CHOICE]}
_TEXT = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "smollm2",
    "choices": [{"index": 0, "text": " a time", "finish_reason": "stop", "logprobs": None}],
}
_VECTOR = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}], "model": "m"}
_RESPONSE = {
    "id": "resp-1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "smollm2",
    "output": [
        {
            "type": "message",
            "id": "msg-1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "red, green, blue", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19},
}
_MODEL = {"id": "fast", "object": "model", "created": 0, "owned_by": "taskfleet"}
_FILE = {"id": "file-1", "object": "file", "bytes": 120, "created_at": 1, "filename": "in.jsonl", "purpose": "batch"}
_BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "validating",
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
}
_QUEUE = {"id": "default/demo", "object": "queue", "pending": 3, "running": 1}
_KEY = {
    "object": "key",
    "name": "team-a",
    "required": True,
    "tenant": "team-a",
    "sees_all_tenants": False,
    "rights": ["read", "submit"],
    "queues": ["default/demo"],
    "max_priority": "normal",
}
_EXPLANATION = {
    "object": "explanation",
    "about": "queue default/demo",
    "lines": ["3 waiting (3 normal), 0 for a later time, 1 running, 0 failed", "the oldest has waited 12s"],
}
_FAILURE = {
    "error_code": "timeout",
    "count": 3,
    "message": "the model server did not answer within taskTimeout",
    "first_failed_at": "2026-01-01T00:00:00Z",
    "last_failed_at": "2026-01-01T00:10:00Z",
}
_REQUEST = {"id": "t-1", "object": "task.request", "queue": "default/demo", "request": {"messages": _MESSAGES}}
_LIST: Example = {"object": "list", "data": []}
_IDS = {"ids": ["t-1", "t-2"]}
_SOME_OR_ALL = {"all": True}

ONLINE = (404, 409, 413, 415, 422, 429, 501, 502, 504)
QUEUE = (404,)


@dataclass(frozen=True, slots=True)
class Call:
    """``body``: an example of it, None where there is none. ``answers``: by status, an example, None for one without
    JSON. ``errors``: beside those that any call may have. ``needs``: fields that the body must have. ``query``: names
    and words. ``stream``: it may also, or only, answer with server-sent events."""

    about: str
    body: Example | None = None
    answers: Mapping[int, Example | None] = field(default_factory=lambda: {200: OBJECT})
    errors: tuple[int, ...] = QUEUE
    needs: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    stream: bool = False
    other_body: str = ""


_LATER = {"batch": "true: do not wait; 202 and a task"}
_PAGES = {"limit": "most of a page", "after": "behind what: the last id, or the next, of the page before"}

CALLS: Mapping[tuple[str, str], Call] = {
    ("POST", "/v1/chat/completions"): Call(
        "Answer a chat, through the queue",
        {"model": "fast", "messages": _MESSAGES},
        {200: {**_CHAT, "usage": _USAGE}, 202: _TASK},
        ONLINE,
        ("messages",),
        _LATER,
        stream=True,
    ),
    ("POST", "/v1/chat/completions/batch"): Call(
        "Submit many chats that nobody waits for",
        {"requests": [{"messages": _MESSAGES}]},
        {202: {"object": "list", "data": [_TASK]}},
        (404, 409, 429),
        ("requests",),
    ),
    ("POST", "/v1/completions"): Call(
        "Continue a text", {"model": "fast", "prompt": "Once upon"}, {200: _TEXT, 202: _TASK}, ONLINE, query=_LATER
    ),
    ("POST", "/v1/embeddings"): Call(
        "Turn texts into vectors", {"model": "fast", "input": "four"}, {200: _VECTOR, 202: _TASK}, ONLINE, query=_LATER
    ),
    ("POST", "/v1/responses"): Call(
        "Answer by OpenAI's Responses API, where the endpoint has it",
        {"model": "fast", "input": "Name three colours."},
        {200: _RESPONSE, 202: _TASK},
        ONLINE,
        ("input",),
        _LATER,
        stream=True,
    ),
    ("GET", "/v1/models"): Call(
        "The queue's models by name, alias and tag", answers={200: {"object": "list", "data": [_MODEL]}}
    ),
    ("GET", "/v1/models/{model}"): Call("One of them", answers={200: _MODEL}),
    ("POST", "/v1/tasks"): Call(
        'Submit one task, or many as {"tasks": [...], "batch"?}, or as JSONL: all or none',
        {"prompt": "Name three colours.", "model": "fast", "priority": "normal"},
        {200: _DONE, 202: _TASK},
        (404, 409, 413, 429),
        query={"batch": "of JSONL: its name as one batch"},
        other_body="application/x-ndjson",
    ),
    ("GET", "/v1/tasks"): Call(
        "Tasks by what the filters say: of a batch in input order, failed ones from the oldest on, else in no order. A "
        "page may have fewer than its limit, and even none, while has_more says that there are others",
        answers={200: {"object": "list", "data": [_DONE], "has_more": False, "next": None}},
        query={**FILTERS, **_PAGES},
    ),
    ("POST", "/v1/tasks/lookup"): Call(
        "Up to 1,000 tasks of one queue as they are now",
        _IDS,
        {200: {"object": "list", "queue": "default/demo", "data": [_DONE, None], "has_more": False}},
        needs=("ids",),
    ),
    ("POST", "/v1/tasks/cancel"): Call(
        "Cancel up to 1,000 tasks of one queue",
        _IDS,
        {200: {"object": "list", "queue": "default/demo", "outcome": {"t-1": "cancelled", "t-2": "not_found"}}},
        needs=("ids",),
    ),
    ("GET", "/v1/tasks/{id}"): Call("One task", answers={200: _DONE}),
    ("GET", "/v1/tasks/{id}/status"): Call("Where it stands", answers={200: _TASK}),
    ("GET", "/v1/tasks/{id}/result"): Call(
        "Its result; 202 while there is none",
        answers={200: _DONE, 202: _TASK},
        query={"wait": "seconds to wait for its end"},
    ),
    ("GET", "/v1/tasks/{id}/events"): Call("What is told of it, as it is told", answers={}, stream=True),
    ("GET", "/v1/tasks/{id}/explain"): Call("Why it waits, and what would change that", answers={200: _EXPLANATION}),
    ("GET", "/v1/tasks/{id}/request"): Call("What it asks, as long as that is kept", answers={200: _REQUEST}),
    ("POST", "/v1/tasks/{id}/cancel"): Call("Cancel it", answers={200: _TASK, 202: _TASK}, errors=(404, 409)),
    ("POST", "/v1/tasks/{id}/progress"): Call(
        "Tell how far it is", {"fraction": 0.4, "message": "page 4 of 10"}, errors=(404, 409)
    ),
    ("POST", "/v1/tasks/{id}/complete"): Call(
        "End it with a result", {"output": "red, green, blue"}, {200: _DONE}, (404, 409), ("output",)
    ),
    ("POST", "/v1/tasks/{id}/fail"): Call(
        "End its attempt with an error", {"message": "no such page", "retry": False}, {200: _DONE}, (404, 409)
    ),
    ("POST", "/v1/files"): Call(
        "Upload a file for batches", None, {200: _FILE}, (413,), other_body="multipart/form-data"
    ),
    ("GET", "/v1/files"): Call(
        "The files", answers={200: {"object": "list", "data": [_FILE]}}, query={"purpose": "of these only", **_PAGES}
    ),
    ("GET", "/v1/files/{id}"): Call("One file", answers={200: _FILE}),
    ("GET", "/v1/files/{id}/content"): Call("What is in it", answers={200: None}),
    ("DELETE", "/v1/files/{id}"): Call(
        "Remove it", answers={200: {"id": "file-1", "object": "file", "deleted": True}}, errors=(404, 409)
    ),
    ("POST", "/v1/batches"): Call(
        "Run the requests of a file",
        {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        {200: _BATCH},
        needs=("input_file_id", "endpoint", "completion_window"),
    ),
    ("GET", "/v1/batches"): Call(
        "The batches, newest first", answers={200: {"object": "list", "data": [_BATCH]}}, query=_PAGES
    ),
    ("GET", "/v1/batches/{id}"): Call("One batch", answers={200: _BATCH}),
    ("POST", "/v1/batches/{id}/cancel"): Call("Cancel it", answers={200: _BATCH}, errors=(404, 409)),
    ("GET", "/v1/key"): Call("Who the key is, and what it may do", answers={200: _KEY}, errors=()),
    ("GET", "/v1/overview"): Call(
        "All queues with their pace, why they stand still, and their pools; then what changes",
        answers={},
        errors=(),
        stream=True,
    ),
    ("GET", "/v1/queues"): Call("The queues", answers={200: {"object": "list", "data": [_QUEUE]}}),
    ("GET", "/v1/queues/{queue}"): Call("One queue with its rules", answers={200: _QUEUE}),
    ("GET", "/v1/queues/{queue}/stats"): Call(
        "One queue in numbers", answers={200: {"object": "queue.stats", "queue": "default/demo", "pending": 3}}
    ),
    ("POST", "/v1/queues/{queue}/pause"): Call("Start no task for a while", {"for": "2h"}),
    ("POST", "/v1/queues/{queue}/resume"): Call("Start tasks again"),
    ("POST", "/v1/queues/{queue}/purge"): Call(
        "Remove failed tasks for good: all, those of an error, or those of ids", _SOME_OR_ALL
    ),
    ("POST", "/v1/queues/{queue}/redrive"): Call(
        "Bring failed tasks back: all, those of an error, or those of ids", _SOME_OR_ALL, errors=(404, 429)
    ),
    ("GET", "/v1/queues/{queue}/events"): Call(
        "What is new in it, as it happens", answers={}, query={"kinds": "ended, progress, wake: some"}, stream=True
    ),
    ("GET", "/v1/queues/{queue}/explain"): Call(
        "Why its tasks wait, what serves it, and what was decided last", answers={200: _EXPLANATION}
    ),
    ("GET", "/v1/queues/{queue}/failures"): Call(
        "Of what its failed tasks failed, counted by error", answers={200: {**_LIST, "data": [_FAILURE]}}
    ),
    ("POST", "/v1/queues/{queue}/claim"): Call(
        "Lease tasks to a worker outside",
        {"worker": "me", "count": 2},
        {200: {**_LIST, "queue": "default/demo", "lease_seconds": 15.0}},
        needs=("worker",),
    ),
    ("POST", "/v1/queues/{queue}/heartbeat"): Call(
        "Keep leases",
        {"worker": "me", "leases": {"t-1": 1}},
        {200: {"object": "heartbeat", "lost": [], "cancelled": []}},
        needs=("worker",),
    ),
    ("POST", "/v1/queues/{queue}/settle"): Call(
        "End leases",
        {"ends": [{"id": "t-1", "fence": 1, "verdict": "complete", "output": "red"}]},
        {200: {"object": "list", "accepted": [True]}},
        needs=("ends",),
    ),
    ("POST", "/v1/queues/{queue}/publish"): Call(
        "Tell pieces of answers to those who read along",
        {"publications": [{"id": "t-1", "fence": 1, "first": 1, "chunks": [{"choices": []}]}]},
        {200: {"object": "list", "accepted": [True]}},
        needs=("publications",),
    ),
    ("DELETE", "/v1/queues/{queue}/workers/{worker}"): Call(
        "A worker leaves", answers={200: {"id": "me", "object": "worker", "deleted": True}}
    ),
}
