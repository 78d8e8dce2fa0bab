"""The OpenAPI document says what there is, and the gateway does what it says, whatever is sent.

``TASKFLEET_FUZZ_EXAMPLES=40`` makes a longer run of it.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import hypothesis
import orjson
import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from starlette.routing import Route

from taskfleet.gateway.apicalls import CALLS
from taskfleet.gateway.app import build_app
from taskfleet.gateway.openapi import ERRORS, document
from tests.gateway.conftest import Site

EXAMPLES = int(os.environ.get("TASKFLEET_FUZZ_EXAMPLES", "1"))
REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json"


async def test_the_gateway_serves_the_document_that_the_reference_has(site: Site) -> None:
    answer = await site.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.content == REFERENCE.read_bytes()
    assert answer.json()["openapi"] == "3.1.0"


def test_the_document_has_every_call_of_the_gateway_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Anything:
        def __getattr__(self, _name: str) -> Any:
            return self

        def __call__(self, *_given: object, **_named: object) -> Any:
            return self

    any_ = Anything()
    app = build_app(any_, any_, any_, any_, any_, lambda: "")
    there = {
        (method, route.path.replace(":path", ""))
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert there == set(CALLS)


def test_every_call_has_examples_and_every_error_a_stable_code() -> None:
    shown = orjson.loads(document())
    for path, calls in shown["paths"].items():
        for method, call in calls.items():
            for content in call.get("requestBody", {}).get("content", {}).values():
                assert "example" in content or "properties" in content["schema"], (method, path)
            for status, answer in call["responses"].items():
                if "$ref" not in answer and "application/json" in answer["content"]:
                    assert "example" in answer["content"]["application/json"], (method, path, status)
    for status, (code, _) in ERRORS.items():
        error = shown["components"]["responses"][str(status)]["content"]["application/json"]["example"]["error"]
        assert error["code"] == code
        assert error["message"]


# The gateway and its worker run on another thread of this process, and draw their own random numbers meanwhile.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_no_request_is_answered_with_a_5xx_or_what_the_document_does_not_say(
    served: Site, runner: asyncio.Runner
) -> None:
    async def everything() -> None:
        (task_id,) = await served.work.submit("known")
        await served.work.finished([task_id])
        await asyncio.to_thread(_try_everything, served.url, served.queue.namespace, served.queue.name, task_id)

    runner.run(everything())


def _try_everything(url: str, namespace: str, queue: str, task_id: str) -> None:
    known = {"namespace": namespace, "name": queue, "id": task_id, "model": "stub"}
    import schemathesis  # more than a second, which other tests need not pay

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        if EXAMPLES == 1 and not operation.body:
            continue  # the short run is about what has a body
        # Of what is there a stream goes on, and what is paused answers 503.
        _try(operation, {} if operation.path.endswith(("/events", "/pause")) else known)


def _try(operation: Any, known: dict[str, str]) -> None:
    """``known``: parts of paths that lead to what is there."""

    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @hypothesis.given(case=operation.as_strategy(), real=st.booleans())
    def ask(case: Any, real: bool) -> None:
        if real:
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        case.call_and_validate(checks=wanted, timeout=10)

    ask()
