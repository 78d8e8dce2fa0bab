"""What a provider is asked and what it promises: one request in, one typed outcome out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from taskfleet.core.events import Progress
from taskfleet.core.operation import Operation
from taskfleet.core.outcome import Outcome
from taskfleet.core.task import Priority
from taskfleet.providers.deltas import Said


@dataclass(slots=True)  # not frozen: one is made for each task, and freezing trebles what that costs
class Call:
    """One call of a model or tool. ``model`` is the server's own name for it, ``timeout`` is in seconds for all of
    it.

    ``parameters`` (temperature, max_tokens, ...) go to the server as they are. ``operation``: give the server's whole
    answer to that call, where the provider speaks OpenAI's protocol. ``arguments``: those of a tool, which has no
    messages; None where a model is called. The rest says which task it is: model servers are
    not told, code in their place is. ``said``: hears of the answer piece by piece; None: nobody listens. ``progress``:
    hears, from any thread, of how far it is; a server does not say.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    timeout: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    task_id: str = ""
    attempt: int = 1
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, Any] = field(default_factory=dict)
    operation: Operation | None = None
    arguments: Mapping[str, Any] | None = None
    said: Said | None = None
    progress: Callable[[Progress], None] = lambda _progress: None


class Provider(Protocol):
    """A model server. Every failure is an Outcome; only cancellation is raised, and it closes the connection."""

    async def complete(self, call: Call) -> Outcome: ...

    async def close(self) -> None: ...
