"""The worker's settings: the environment, parsed once and checked."""

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from pydantic import ValidationError

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import InputError
from taskfleet.core.task import QueueKey
from taskfleet.worker import variables

DEFAULT_PORT = "8422"
DEFAULT_GRACE_SECONDS = "60"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """``port``: None for no HTTP, 0 for any free one. ``grace_seconds``: from SIGTERM to the end."""

    store_url: str = field(repr=False)
    queue: QueueKey
    pool: str
    endpoint: Endpoint
    worker: str
    port: int | None
    grace_seconds: float
    api_key: str | None = field(default=None, repr=False)


def read_settings(environ: Mapping[str, str] = os.environ) -> WorkerSettings:
    """The settings in ``environ``. Raises InputError with one line for each variable that is missing or wrong."""
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], T], default: str = "") -> T | None:
        try:
            return parse(environ.get(name, default))
        except ValueError as problem:
            problems.append(f"{name}: {problem}")
            return None

    store_url = read(variables.STORE_URL, _required("the URL of the store, such as valkey://host:6379"))
    queue = read(variables.QUEUE, QueueKey.parse)
    pool = read(variables.POOL, _required("the WorkerPool's name"))
    endpoint = read(variables.ENDPOINT, _endpoint)
    port = read(variables.PORT, _port, DEFAULT_PORT)
    grace = read(variables.GRACE_SECONDS, _seconds, DEFAULT_GRACE_SECONDS)
    if problems or store_url is None or queue is None or pool is None or endpoint is None or grace is None:
        raise InputError("\n".join(problems))
    return WorkerSettings(
        store_url=store_url,
        queue=queue,
        pool=pool,
        endpoint=endpoint,
        worker=environ.get(variables.WORKER) or _unique_name(),
        port=port,
        grace_seconds=grace,
        api_key=environ.get(variables.API_KEY) or None,
    )


def _required(what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not text:
            raise ValueError(f"not set; it must be {what}")
        return text

    return parse


def _endpoint(text: str) -> Endpoint:
    try:
        return Endpoint.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise ValueError("not JSON; it must be one endpoint of a WorkerPool as JSON") from error
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'endpoint'}: {item['msg']}" for item in error.errors())
        raise ValueError("; ".join(problems)) from error


def _port(text: str) -> int | None:
    if text == "":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port; use 0 to 65535, or nothing for no HTTP")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise ValueError(f"{text!r} is not a time; use seconds from 0 to 86400")
    return seconds


def _unique_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
