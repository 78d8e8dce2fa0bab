"""What a queue object was asked to be, checked before anything starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from taskfleet.core.errors import InputError
from taskfleet.core.pool import Strategy
from taskfleet.core.task import QueueKey
from taskfleet.sdk import given
from taskfleet.sdk.handler import Handler
from taskfleet.sdk.instances import Instance

OWN_QUEUE = QueueKey("default", "local")
_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a ParallelTaskQueue was given; see there."""

    instances: Sequence[Instance] | None
    max_workers: int
    strategy: Strategy
    url: str | None
    queue: str | None
    api_key: str | None
    handler: Handler | None
    data: Path | None
    policy: Mapping[str, Any]

    def checked(self) -> "Wanted":
        """Itself. Raises InputError when its parts do not go together."""
        if self.queue is not None:
            given.queue_key(self.queue)
        if self.url is None:
            return self
        if self.is_gateway:
            _check_gateway(self.url, self.api_key)
        if self.queue is None:
            raise InputError('queue: with a url it must be named; write queue="namespace/name", such as "default/demo"')
        for name, value in (("data", self.data), ("policy", self.policy or None)):
            if value is not None:
                raise InputError(f"{name}: it belongs to a queue in this process; leave it out, or leave out url")
        return self

    @property
    def is_gateway(self) -> bool:
        """Whether the tasks are kept behind a gateway."""
        return self.url is not None and self.url.startswith(("http://", "https://"))

    @property
    def instances_key(self) -> str | None:
        """What is shown to model servers: never the gateway's key."""
        return None if self.is_gateway else self.api_key

    @property
    def key(self) -> QueueKey:
        return OWN_QUEUE if self.queue is None else given.queue_key(self.queue)


def _check_gateway(url: str, api_key: str | None) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  looking at it checks it
    except ValueError as error:
        raise InputError(f"url: {url!r} is not a URL: {error}; write http://HOST:8420") from None
    if parts.username is not None or parts.password is not None:
        raise InputError("url: it holds a user or a password; a gateway takes an API key, give it as api_key=")
    if not parts.hostname or parts.query or parts.fragment:
        raise InputError(f"url: {url!r} is not the address of a gateway; write http://HOST:8420")
    if api_key is not None and not _KEY.fullmatch(api_key):
        raise InputError("api_key: it has spaces, line ends or other signs that no key has; give it as it was shown")
