"""Tools that workers run themselves, in the place of a model server."""

from taskfleet.providers.tools.registry import open_tools, tool_kind

__all__ = ["open_tools", "tool_kind"]
