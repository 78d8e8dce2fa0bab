"""Tools on an event loop of their own thread, so that one browser serves all tests."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.outcome import Fatal, Ok, Outcome
from taskfleet.providers import Call, Provider, open_endpoint

CALL_SECONDS = 60.0


def tools_endpoint(*models: str, concurrency: int = 4, **tools: Any) -> Endpoint:
    """``tools``: settings, in camelCase."""
    fields = {"name": "tools", "provider": "tools", "models": models, "concurrency": concurrency, "tools": tools}
    return Endpoint.model_validate(fields)


class ToolHost:
    """The tools of one endpoint; calls from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._provider: Provider = self._run(self._open(endpoint)).result(CALL_SECONDS)

    def begin(self, tool: str, seconds: float = CALL_SECONDS, **arguments: Any) -> "Future[Outcome]":
        """A call that may be cancelled."""
        return self._run(self._provider.complete(Call(tool, (), seconds, arguments=arguments)))

    def call(self, tool: str, seconds: float = CALL_SECONDS, **arguments: Any) -> Outcome:
        return self.begin(tool, seconds, **arguments).result(CALL_SECONDS)

    def result(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """What it told."""
        outcome = self.call(tool, **arguments)
        assert isinstance(outcome, Ok), outcome
        assert isinstance(outcome.output, Mapping)
        return outcome.output

    def refused(self, tool: str, **arguments: Any) -> str:
        """The code of its refusal."""
        outcome = self.call(tool, **arguments)
        assert isinstance(outcome, Fatal), outcome
        return outcome.error.code

    def close(self) -> None:
        self._run(self._provider.close()).result(CALL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @staticmethod
    async def _open(endpoint: Endpoint) -> Provider:
        return open_endpoint(endpoint)

    def _run(self, coroutine: Any) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
