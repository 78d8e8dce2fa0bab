"""The tool ``file``: read, write, list and delete under one folder."""

import asyncio
import base64
import binascii
from typing import Any

from taskfleet.api.toolcalls import FileArguments
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.errors import InputError
from taskfleet.core.outcome import EndpointDown, Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.tools.rooted import BadPath, Root, RootMissing
from taskfleet.providers.tools.tool import failed


class FileTool:
    """Calls do not wait for each other; of two that write one file the last one stands."""

    def __init__(self, settings: ToolSettings) -> None:
        """Raises InputError without a folder."""
        if settings.file is None:
            raise InputError("tools.file.root: the tool file needs it; set the folder under which its paths are")
        self._read_only = settings.file.read_only
        self._root = Root(settings.file.root, settings.file.max_file_size.bytes)

    async def run(self, arguments: FileArguments) -> Outcome:
        if self._read_only and arguments.action in ("write", "delete"):
            return failed("not_permitted", f"this pool's folder is read-only, so there is no {arguments.action}")
        try:
            return Ok(await asyncio.to_thread(self._done, arguments))
        except BadPath as error:
            return failed(error.code, str(error))
        except RootMissing as error:
            return EndpointDown(TaskError("root_missing", str(error)), reached=False)
        except OSError as error:
            return Retry(TaskError("file_error", f"path: {arguments.path!r}: {error.strerror or error}"))

    async def close(self) -> None:
        """Nothing is open between calls."""

    def _done(self, arguments: FileArguments) -> dict[str, Any]:
        said: dict[str, Any] = {"ok": True, "path": arguments.path}
        match arguments.action:
            case "read":
                return said | _content(self._root.read(arguments.path))
            case "write":
                data = _data(arguments)
                self._root.write(arguments.path, data)
                return said | {"bytes": len(data)}
            case "list":
                return said | {"entries": self._root.entries(arguments.path)}
        self._root.delete(arguments.path)
        return said


def _data(arguments: FileArguments) -> bytes:
    if arguments.text is not None:
        return arguments.text.encode()
    try:
        return base64.b64decode(arguments.base64 or "", validate=True)
    except binascii.Error as error:
        raise BadPath("bad_arguments", f"arguments.base64: {error}") from None


def _content(data: bytes) -> dict[str, Any]:
    try:
        return {"bytes": len(data), "text": data.decode(), "base64": None}
    except UnicodeDecodeError:
        return {"bytes": len(data), "text": None, "base64": base64.b64encode(data).decode()}
