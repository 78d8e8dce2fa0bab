"""Tools in the place of a model server: the same calls, the same outcomes."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskfleet.api.toolcalls import ToolArguments, parse_arguments
from taskfleet.core.errors import InvalidTask
from taskfleet.core.outcome import Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.call import Call
from taskfleet.providers.tools.tool import Tool, as_json, failed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedTool:
    arguments: type[ToolArguments]
    tool: Tool[Any]


class ToolsProvider:
    """A Provider whose models are tools."""

    def __init__(self, tools: Mapping[str, OpenedTool]) -> None:
        self._tools = tools

    async def complete(self, call: Call) -> Outcome:
        if call.arguments is None:
            return failed("bad_request", f"{call.model} is a tool: give tool and arguments in place of a prompt")
        opened = self._tools.get(call.model)
        if opened is None:
            return failed("no_tool", f"tool: this endpoint has no {call.model!r}, only {', '.join(self._tools)}")
        try:
            arguments = parse_arguments(opened.arguments, call.arguments)
        except InvalidTask as error:
            return failed("bad_arguments", str(error))
        try:
            async with asyncio.timeout(call.timeout):
                outcome = await opened.tool.run(arguments)
        except TimeoutError:
            words = f"the tool had not ended after {call.timeout:g} s, the queue's taskTimeout"
            return Retry(TaskError("task_timeout", words))
        if not isinstance(outcome, Ok):
            return outcome
        try:
            return Ok(as_json(outcome.output), outcome.usage)
        except TypeError as error:
            return failed("bad_result", f"the tool {call.model} gave a result that is no JSON: {error}")

    async def close(self) -> None:
        for name, opened in self._tools.items():
            try:
                await opened.tool.close()
            except Exception:
                log.exception("a tool could not be closed", extra={"tool": name})
