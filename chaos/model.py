"""The model server: counts its calls, by task and worker and with their times, and answers some with a fault.

Each worker has a base URL of its own, ``.../WORKER/v1``: so the server knows who calls. An answer's text is the number
of its call, by which a result in the store tells which call it is of.
"""

import asyncio
import random
import time
from email.utils import formatdate

import orjson
from aiohttp import web

from chaos.history import Call, History

MEAN_LATENCY_SECONDS = 0.3
OUTAGE = "503"
# Shares of all calls.
FAULTS = {"500": 0.003, "reset": 0.003, "429": 0.003, "slow": 0.001}


class ModelServer:
    """``finished`` holds the tasks that were answered since someone last looked. ``slow``: seconds of a slow call,
    longer than a lease."""

    def __init__(self, history: History, rng: random.Random, slow: float) -> None:
        self.finished: set[str] = set()
        self.answered = 0
        self._history = history
        self._rng = rng
        self._slow = slow
        self._calls = 0
        self._is_down = False

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{worker}/v1/chat/completions", self._complete)
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

    def go_down(self) -> None:
        self._is_down = True

    def come_back(self) -> None:
        self._is_down = False

    async def _complete(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        self._calls += 1
        call = Call(self._calls, body["messages"][-1]["content"], request.match_info["worker"], time.monotonic())
        call.fault = self._draw_fault()
        self._history.calls[call.task].append(call)
        if call.fault in ("", "slow"):
            slow, call.fault = call.fault == "slow", ""
            await asyncio.sleep(self._slow if slow else MEAN_LATENCY_SECONDS * self._rng.uniform(0.3, 1.7))
            call.answered = time.monotonic()
            self.answered += 1
            self.finished.add(call.task)
            return web.json_response(_completion(str(call.number)))
        if call.fault == "reset" and request.transport is not None:
            request.transport.abort()
        # A date, as servers may send: who took it by a clock that is an hour off would wait for an hour.
        soon = formatdate(time.time() + 1, usegmt=True)
        headers = {"Retry-After": soon} if call.fault in ("429", OUTAGE) else {}
        status = int(call.fault) if call.fault.isdigit() else 500
        return web.json_response({"error": {"message": "chaos"}}, status=status, headers=headers)

    def _draw_fault(self) -> str:
        if self._is_down:
            return OUTAGE
        drawn = self._rng.random()
        for fault, share in FAULTS.items():
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
