"""The ASGI application: which path is whose, who may call it, and how whatever goes wrong is answered."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from taskfleet.api.gatewaykeys import Right
from taskfleet.core.errors import TaskfleetError
from taskfleet.gateway import openapi
from taskfleet.gateway.administration import Administration
from taskfleet.gateway.allowances import Allowances
from taskfleet.gateway.answers import Refused, bug_answer, error_answer
from taskfleet.gateway.batches import Batches
from taskfleet.gateway.batchrun import BatchRunner
from taskfleet.gateway.bodies import Gone
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.console.pages import console_routes
from taskfleet.gateway.endings import Endings
from taskfleet.gateway.explained import Explained
from taskfleet.gateway.failures import Failures
from taskfleet.gateway.files import Files
from taskfleet.gateway.filestorage import FileStorage
from taskfleet.gateway.keyring import Doorman
from taskfleet.gateway.manytasks import ManyTasks
from taskfleet.gateway.models import Models
from taskfleet.gateway.online import Online
from taskfleet.gateway.overview import Overview
from taskfleet.gateway.ownkey import own_key
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queueevents import QueueEvents
from taskfleet.gateway.tasklisting import TaskListing
from taskfleet.gateway.tasks import Tasks
from taskfleet.gateway.work import Work
from taskfleet.telemetry.gatewaymetrics import GatewayMetrics

log = logging.getLogger(__name__)

Handle = Callable[[Request, Caller], Awaitable[Response]]
_REQUEST_ID = re.compile(r"[\w.\-]{1,128}", re.ASCII)
_GONE = 499  # as proxies log a client that went away


def build_app(
    parts: Parts,
    files: FileStorage,
    runner: BatchRunner,
    doorman: Doorman,
    metrics: GatewayMetrics,
    not_ready: Callable[[], str],
    *,
    console: bool = True,
) -> Starlette:
    """``not_ready()`` is "" when the gateway can serve, else the reason why not, which ``/readyz`` answers.
    ``console``: whether there is the page of that name."""
    door = _Door(doorman, Allowances(parts.store), metrics)
    # The paths of each request are tried in this order.
    routes = [
        *(
            Route(path, door.guard(path, right, handle), methods=[method])
            for method, path, right, handle in _api(parts, files, runner, doorman)
        ),
        *_status_routes(metrics, not_ready),
        *(console_routes() if console else ()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: door.no_such_path})
    app.router.redirect_slashes = False  # to wherever the request's own Host says
    return app


def _api(
    parts: Parts, store: FileStorage, runner: BatchRunner, doorman: Doorman
) -> Sequence[tuple[str, str, Right | None, Handle]]:
    online, models, queues, work = Online(parts), Models(parts), Administration(parts), Work(parts)
    tasks, endings, many, news = Tasks(parts), Endings(parts), ManyTasks(parts), QueueEvents(parts, doorman)
    files, batches = Files(store), Batches(parts, store, runner)
    explained, failures, overview = Explained(parts), Failures(parts), Overview(parts, doorman)
    return [
        ("POST", "/v1/chat/completions", Right.SUBMIT, online.chat),
        ("POST", "/v1/chat/completions/batch", Right.SUBMIT, online.chats),
        ("POST", "/v1/completions", Right.SUBMIT, online.completions),
        ("POST", "/v1/embeddings", Right.SUBMIT, online.embeddings),
        ("POST", "/v1/responses", Right.SUBMIT, online.responses),
        ("GET", "/v1/models", Right.READ, models.listing),
        ("GET", "/v1/models/{model:path}", Right.READ, models.show),
        ("POST", "/v1/tasks", Right.SUBMIT, tasks.submit),
        ("GET", "/v1/tasks", Right.READ, TaskListing(parts).listing),
        ("POST", "/v1/tasks/lookup", Right.READ, many.lookup),
        ("POST", "/v1/tasks/cancel", Right.SUBMIT, many.cancel),
        ("GET", "/v1/tasks/{id}", Right.READ, tasks.show),
        ("GET", "/v1/tasks/{id}/status", Right.READ, tasks.status),
        ("GET", "/v1/tasks/{id}/result", Right.READ, tasks.result),
        ("GET", "/v1/tasks/{id}/events", Right.READ, tasks.events),
        ("GET", "/v1/tasks/{id}/explain", Right.READ, explained.task),
        ("GET", "/v1/tasks/{id}/request", Right.READ, explained.request),
        ("POST", "/v1/tasks/{id}/cancel", Right.SUBMIT, tasks.cancel),
        ("POST", "/v1/tasks/{id}/progress", Right.WORK, endings.progress),
        ("POST", "/v1/tasks/{id}/complete", Right.WORK, endings.complete),
        ("POST", "/v1/tasks/{id}/fail", Right.WORK, endings.fail),
        ("POST", "/v1/files", Right.SUBMIT, files.upload),
        ("GET", "/v1/files", Right.READ, files.listing),
        ("GET", "/v1/files/{id}", Right.READ, files.show),
        ("GET", "/v1/files/{id}/content", Right.READ, files.content),
        ("DELETE", "/v1/files/{id}", Right.SUBMIT, files.delete),
        ("POST", "/v1/batches", Right.SUBMIT, batches.create),
        ("GET", "/v1/batches", Right.READ, batches.listing),
        ("GET", "/v1/batches/{id}", Right.READ, batches.show),
        ("POST", "/v1/batches/{id}/cancel", Right.SUBMIT, batches.cancel),
        ("GET", "/v1/key", None, own_key),
        ("GET", "/v1/overview", Right.READ, overview.events),
        ("GET", "/v1/queues", Right.READ, queues.listing),
        ("GET", "/v1/queues/{queue:path}/stats", Right.READ, queues.stats),
        ("POST", "/v1/queues/{queue:path}/pause", Right.ADMIN, queues.pause),
        ("POST", "/v1/queues/{queue:path}/resume", Right.ADMIN, queues.resume),
        ("POST", "/v1/queues/{queue:path}/purge", Right.ADMIN, queues.purge),
        ("POST", "/v1/queues/{queue:path}/redrive", Right.ADMIN, queues.redrive),
        ("GET", "/v1/queues/{queue:path}/events", Right.READ, news.events),
        ("GET", "/v1/queues/{queue:path}/explain", Right.READ, explained.queue),
        ("GET", "/v1/queues/{queue:path}/failures", Right.READ, failures.by_error),
        ("POST", "/v1/queues/{queue:path}/claim", Right.WORK, work.claim),
        ("POST", "/v1/queues/{queue:path}/heartbeat", Right.WORK, work.heartbeat),
        ("POST", "/v1/queues/{queue:path}/settle", Right.WORK, work.settle),
        ("POST", "/v1/queues/{queue:path}/publish", Right.WORK, work.publish),
        ("DELETE", "/v1/queues/{queue:path}/workers/{worker}", Right.WORK, work.retire),
        ("GET", "/v1/queues/{queue:path}", Right.READ, queues.show),  # last: its path is of any length
    ]


def _status_routes(metrics: GatewayMetrics, not_ready: Callable[[], str]) -> list[Route]:
    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        reason = not_ready()
        return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200)

    async def shown(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def described(_request: Request) -> Response:
        return Response(openapi.document(), media_type="application/json")

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", shown),
        Route(openapi.PATH, described),
    ]


class _Door:
    """Stands before every handler: names the request, knows the caller, answers every error, and counts."""

    def __init__(self, doorman: Doorman, allowances: Allowances, metrics: GatewayMetrics) -> None:
        self._doorman = doorman
        self._allowances = allowances
        self._metrics = metrics

    def guard(self, path: str, right: Right | None, handle: Handle) -> Callable[[Request], Awaitable[Response]]:
        """``right``: what the caller must have; None: any caller will do."""
        self._metrics.open_route(path)

        async def endpoint(request: Request) -> Response:
            began, name = time.monotonic(), _request_id(request)
            response = await self._answer(request, right, handle, name)
            response.headers["x-request-id"] = name
            self._metrics.answered(path, response.status_code, time.monotonic() - began)
            return response

        return endpoint

    async def _answer(self, request: Request, right: Right | None, handle: Handle, name: str) -> Response:
        try:
            caller = self._doorman.caller(request.headers)
            if right is not None:
                caller.check(right)
            left = await self._allowances.take(caller)
            answer = await handle(request, caller)
        except TaskfleetError as error:
            answer = error_answer(error)
            if answer.status_code >= 500:
                log.warning("not served", extra={"request": name, "path": request.url.path, "error": str(error)})
            return answer
        except (Gone, ClientDisconnect):
            return Response(status_code=_GONE)
        except Exception:
            log.exception("the gateway broke on a request", extra={"request": name, "path": request.url.path})
            return bug_answer(name)
        answer.headers.update(left)
        return answer

    async def no_such_path(self, request: Request, error: Exception) -> Response:
        """Of a path or method that is nobody's."""
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            refused = Refused(405, "method_not_allowed", f"{request.method} is not for this path", error.headers)
        else:
            words = f"there is nothing at {request.url.path[:200]}; see the gateway's guide for what there is"
            refused = Refused(error.status_code, "not_found", words)
        answer = error_answer(refused)
        answer.headers["x-request-id"] = _request_id(request)
        return answer


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req-{secrets.token_hex(8)}"
