"""Which tools there are: ours, and those that packages beside us offer as entry points ``taskfleet.tools``.

Each is opened only where an endpoint serves it, and its libraries loaded then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.packagetools import load, package_tools
from taskfleet.api.toolcalls import ARGUMENTS, ToolArguments
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.errors import InputError
from taskfleet.providers.tools.provider import OpenedTool, ToolsProvider
from taskfleet.providers.tools.tool import OpenTool, ToolKind


@dataclass(frozen=True, slots=True)
class _Own:
    """A ToolKind of ours."""

    arguments: type[ToolArguments]
    open: OpenTool


def _http() -> OpenTool:
    from taskfleet.providers.tools.http import HttpTool

    return HttpTool


def _browser() -> OpenTool:
    from taskfleet.providers.tools.browser import BrowserTool

    return BrowserTool


def _terminal() -> OpenTool:
    from taskfleet.providers.tools.terminal import TerminalTool

    return TerminalTool


def _file() -> OpenTool:
    from taskfleet.providers.tools.file import FileTool

    return FileTool


_OURS: Mapping[str, Callable[[], OpenTool]] = {
    "http": _http,
    "web": _http,
    "headless-browser": _browser,
    "terminal": _terminal,
    "file": _file,
}


def tool_kind(name: str) -> ToolKind:
    """The tool of this name. Raises InputError for one that there is not, or whose package is broken."""
    if name in _OURS:
        try:
            return _Own(ARGUMENTS[name], _OURS[name]())
        except ImportError as error:
            raise InputError(f"the tool {name} needs {error.name}; install taskfleet[tools]") from error
    offered = package_tools()
    if name not in offered:
        known = ", ".join((*_OURS, *offered))
        raise InputError(f"models: there is no tool {name!r} on this worker; it has {known} (see remoteNames, too)")
    kind: ToolKind = load(offered[name])
    return kind


def open_tools(endpoint: Endpoint) -> ToolsProvider:
    """The tools that an endpoint serves, by what it calls them. Raises InputError."""
    settings = endpoint.tools or ToolSettings()
    opened = {}
    for model in endpoint.models:
        name = endpoint.remote_names.get(model, model)
        kind = tool_kind(name)
        opened[name] = OpenedTool(kind.arguments, kind.open(settings))
    return ToolsProvider(opened)
