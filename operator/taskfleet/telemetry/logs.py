"""Logs of every process: one line an event, for people on a terminal and as JSON otherwise.

Ids and numbers go in fields, not in sentences: ``log.info("lease lost", extra={"task": task.id})``. Prompts, answers
and keys are never logged.
"""

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from taskfleet.core.errors import InputError

FORMAT_VARIABLE = "TASKFLEET_LOG_FORMAT"
LEVEL_VARIABLE = "TASKFLEET_LOG_LEVEL"

_LEVELS = ("debug", "info", "warning", "error")
_STANDARD_FIELDS = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"))


def configure_logs(environ: Mapping[str, str] = os.environ, stream: TextIO = sys.stderr) -> None:
    """Send all logs to ``stream``, as TASKFLEET_LOG_FORMAT (``text`` or ``json``) and TASKFLEET_LOG_LEVEL say.

    Without a format: text on a terminal, else JSON. Raises InputError for other values.
    """
    chosen = environ.get(FORMAT_VARIABLE) or ("text" if stream.isatty() else "json")
    level = (environ.get(LEVEL_VARIABLE) or "info").lower()
    if chosen not in ("text", "json"):
        raise InputError(f"{FORMAT_VARIABLE}: {chosen!r} is not a format; use text or json")
    if level not in _LEVELS:
        raise InputError(f"{LEVEL_VARIABLE}: {level!r} is not a level; use one of {', '.join(_LEVELS)}")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if chosen == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD_FIELDS}


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", ...fields, "exception"?}`` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """``12:00:01 warning lease lost  task=abc``; an exception follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}{' ' if fields else ''}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
