"""The model server: counts its calls, by task and worker and with their times, and answers some with a fault.

Each worker has a base URL of its own, ``.../WORKER/v1``: so the server knows who calls. An answer's text is the number
of its call, by which a result in the store tells which call it is of.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from email.utils import formatdate

import orjson
from aiohttp import web

from chaos.history import Call, History

MEAN_LATENCY_SECONDS = 0.3
OUTAGE = "503"
# Shares of all calls.
RESET, SLOW = "reset", "slow"
FAULTS = {"500": 0.003, RESET: 0.003, "429": 0.003, SLOW: 0.001}


class ModelServer:
    """``finished`` holds the tasks that were answered since someone last looked. ``slow``: seconds of a slow call,
    longer than a lease."""

    def __init__(
        self,
        history: History,
        rng: random.Random,
        *,
        slow: float,
        latency: float = MEAN_LATENCY_SECONDS,
        faults: Mapping[str, float] = FAULTS,
    ) -> None:
        self.finished: set[str] = set()
        self.answered = 0
        self._history = history
        self._rng = rng
        self._slow = slow
        self._latency = latency
        self._faults = faults
        self._calls = 0
        self._is_down = False

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{worker}/v1/chat/completions", self._complete)
        app.router.add_get("/{worker}/call/{task}", self._plain_call)
        # A handler is cancelled when its worker dies: its call then has no answer.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port: int = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    def url(self, worker: str) -> str:
        return f"http://127.0.0.1:{self._port}/{worker}/v1"

    def call_url(self, worker: str) -> str:
        """For who speaks no protocol of models: what a GET of this and a task's name does is a call."""
        return f"http://127.0.0.1:{self._port}/{worker}/call/"

    def go_down(self) -> None:
        self._is_down = True

    def come_back(self) -> None:
        self._is_down = False

    async def _complete(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return await self._answer(request, body["messages"][-1]["content"])

    async def _plain_call(self, request: web.Request) -> web.Response:
        return await self._answer(request, request.match_info["task"])

    async def _answer(self, request: web.Request, task: str) -> web.Response:
        self._calls += 1
        call = Call(self._calls, task, request.match_info["worker"], time.monotonic(), fault=self._draw_fault())
        self._history.calls[task].append(call)
        if call.fault in ("", SLOW):
            slow, call.fault = call.fault == SLOW, ""
            await asyncio.sleep(self._slow if slow else self._latency * self._rng.uniform(0.3, 1.7))
            call.answered = time.monotonic()
            self.answered += 1
            self.finished.add(task)
            return web.json_response(_completion(str(call.number)))
        if call.fault == RESET and request.transport is not None:
            request.transport.abort()
        # A date, as servers may send: who took it by a clock that is an hour off would wait for an hour.
        soon = formatdate(time.time() + 1, usegmt=True)
        headers = {"Retry-After": soon} if call.fault in ("429", OUTAGE) else {}
        status = 500 if call.fault == RESET else int(call.fault)
        return web.json_response({"error": {"message": "chaos"}}, status=status, headers=headers)

    def _draw_fault(self) -> str:
        if self._is_down:
            return OUTAGE
        drawn = self._rng.random()
        for fault, share in self._faults.items():
            drawn -= share
            if drawn < 0:
                return fault
        return ""


def _completion(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
