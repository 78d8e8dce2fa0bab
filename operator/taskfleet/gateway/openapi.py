"""The OpenAPI document of the gateway, from the table of its calls. Pure."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from taskfleet.gateway.answers import Refused, error_body
from taskfleet.gateway.apicalls import CALLS, Call
from taskfleet.gateway.wishes import HEADERS

PATH = "/openapi.json"
# What any call may end with: its code and an example of its words.
ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_input", "messages: it is missing; give an array of messages"),
    401: ("invalid_api_key", "this API key is not known here, or not any more"),
    403: ("not_permitted", "the API key 'team-a' has not the right 'admin' for this"),
    404: ("model_not_found", "model: 'gpt-9' is not offered by this queue; it offers: smollm2, fast"),
    408: ("body_timeout", "the body did not come whole within 60 s; send it again"),
    409: ("already_ended", "task 't-1' in default/demo has completed already"),
    413: ("body_too_large", "the body is larger than 64 MiB, the most that is taken here; send it in parts"),
    415: ("unsupported_media_type", "the model server takes no such media"),
    422: ("unprocessable", "the model server does not take the request, in its own words"),
    429: ("queue_full", "queue default/demo is full: 1000 tasks wait and limits.maxPending is 1000"),
    500: ("internal_error", "the gateway broke on this request; its log has it as req-1"),
    501: ("operation_not_offered", "operation: this endpoint has no responses: its provider has no such call"),
    502: ("endpoint_error", "every attempt failed (after 5 attempts)"),
    503: ("not_served", "queue default/demo does not serve smollm2 now: it is paused until someone resumes it"),
    504: ("timeout", "the model server did not answer within taskTimeout (after 5 attempts)"),
}
_ALWAYS = (401, 403, 500, 503)
_WITH_PARAMETERS = (400,)
_WITH_BODY = (400, 408, 413, 429)
_TEXT = {"type": "string"}
_RETRIED = {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "string"}}}
_POSITION = {
    "Taskfleet-Queue-Position": {"description": "Where the task stands in its queue.", "schema": _TEXT},
    "Taskfleet-Eta-Seconds": {"description": "When it may be served, if the pace is known.", "schema": _TEXT},
}


@cache
def document() -> bytes:
    """The whole document, as JSON."""
    return orjson.dumps(_document(), option=orjson.OPT_INDENT_2) + b"\n"


def _document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), call in CALLS.items():
        shown, names = _spelled(path)
        paths.setdefault(shown, {})[method.lower()] = _operation(method, shown, names, call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskfleet gateway",
            "version": "v1",
            "description": "OpenAI's API in front of a durable queue, and the queue itself.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _error_schema()},
            "responses": {str(status): _error(status) for status in ERRORS},
            "parameters": {name: _header(header) for name, header in HEADERS.items()},
        },
    }


def _spelled(path: str) -> tuple[str, list[str]]:
    """A path, in which a queue has two names, and the names in it."""
    shown = path.replace("{queue}", "{namespace}/{name}")
    return shown, re.findall(r"{(\w+)}", shown)


def _operation(method: str, path: str, names: list[str], call: Call) -> dict[str, Any]:
    words = re.findall(r"\w+", path.removeprefix("/v1"))
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "description": about, "schema": _TEXT} for name, about in call.query.items()
    ]
    parameters += [{"$ref": "#/components/parameters/queue"}]
    if 202 in call.answers and call.body is not None:
        others = [name for name in HEADERS if name != "queue"]
        parameters += [{"$ref": f"#/components/parameters/{name}"} for name in others]
        about = "wait=N: after so many seconds 202 and the task, which goes on"
        parameters += [{"name": "Prefer", "in": "header", "description": about, "schema": _TEXT}]
    errors = {*_ALWAYS, *_WITH_PARAMETERS, *call.errors, *(_WITH_BODY if method == "POST" else ())}
    answers = {str(status): _answer(status, example, call) for status, example in call.answers.items()}
    if call.stream and "200" not in answers:
        answers["200"] = {"description": "As server-sent events.", "content": {"text/event-stream": {}}}
    answers |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)}
    found: dict[str, Any] = {
        "operationId": "_".join((method.lower(), *words)),
        "summary": call.about,
        "parameters": parameters,
        "responses": answers,
    }
    if call.body is not None or call.other_body:
        found["requestBody"] = _body(call)
    return found


def _body(call: Call) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if call.body is not None:
        schema = {"type": "object", **({"required": list(call.needs)} if call.needs else {})}
        content["application/json"] = {"schema": schema, "example": call.body}
    if call.other_body == "multipart/form-data":
        parts = {"file": {"type": "string", "contentMediaType": "application/octet-stream"}, "purpose": _TEXT}
        content[call.other_body] = {"schema": {"type": "object", "required": list(parts), "properties": parts}}
    elif call.other_body:
        content[call.other_body] = {"schema": _TEXT, "example": '{"prompt": "One"}\n{"prompt": "Two"}\n'}
    return {"required": bool(call.needs or call.other_body), "content": content}


def _answer(status: int, example: Mapping[str, Any] | None, call: Call) -> dict[str, Any]:
    content: dict[str, Any] = {"application/octet-stream": {}}
    if example is not None:
        content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    if call.stream and status == 200:
        content["text/event-stream"] = {"schema": _TEXT}
    about = {200: "Done.", 202: "Taken; it is not done yet."}[status]
    return {"description": about, "content": content, **({"headers": _POSITION} if status == 202 else {})}


def _error(status: int) -> dict[str, Any]:
    code, words = ERRORS[status]
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": error_body(Refused(status, code, words))}
    headers = {429: _RETRIED | _POSITION, 503: _RETRIED}.get(status)
    return {
        "description": words[:1].upper() + words[1:] + ".",
        "content": {"application/json": content},
        **({"headers": headers} if headers else {}),
    }


def _error_schema() -> dict[str, Any]:
    fields = {
        "message": {"type": "string", "description": "A sentence with the fix."},
        "type": _TEXT,
        "param": {"type": ["string", "null"], "description": "The field that it is about."},
        "code": {"type": "string", "description": "A stable word for programs."},
    }
    inner = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": _TEXT}
