"""What a tool is, here and in other packages: a model of arguments, and a call with a typed outcome."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from taskfleet.api.toolcalls import ToolArguments
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.outcome import Fatal, Outcome
from taskfleet.core.task import TaskError

A_contra = TypeVar("A_contra", bound=ToolArguments, contravariant=True)


class Tool(Protocol[A_contra]):
    """Runs calls, several at once. ``Ok`` has a JSON object; ``Fatal`` is for what will never work, ``Retry`` for what
    may work another time, ``EndpointDown`` only for what is amiss with this worker and would be so for every call.

    A cancelled call must leave nothing running.
    """

    async def run(self, arguments: A_contra) -> Outcome: ...

    async def close(self) -> None: ...


OpenTool = Callable[[ToolSettings], Tool[Any]]
"""Makes a tool for an endpoint's settings; called once in a worker. Raises InputError."""


class ToolKind(Protocol):
    """What an entry point of the group ``taskfleet.tools`` names: the arguments, and how to open it."""

    @property
    def arguments(self) -> type[ToolArguments]: ...

    @property
    def open(self) -> OpenTool: ...


def failed(code: str, message: str) -> Fatal:
    return Fatal(TaskError(code, message))


def as_json(value: Any) -> Any:
    """A result as JSON can hold it: half characters, which pages and file names may have, become question marks.

    Raises TypeError for what is no JSON.
    """
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case Mapping():
            return {as_json(name): as_json(item) for name, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case None | bool() | int() | float():
            return value
    raise TypeError(f"a {type(value).__name__} is no JSON")
