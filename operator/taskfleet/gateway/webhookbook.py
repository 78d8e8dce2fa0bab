"""Whom a gateway tells what, from a file that may change under it."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from taskfleet.api.webhooks import Webhook, Webhooks
from taskfleet.core.errors import InputError
from taskfleet.gateway.keyring import LOOK_SECONDS, fingerprint

log = logging.getLogger(__name__)


class WebhookBook:
    """``hooks``: those of the file now. ``follow`` reads it again when it changes; an edit that is wrong is logged, and
    what was there stays."""

    def __init__(self, path: Path | None) -> None:
        """None: nobody is told anything. Raises InputError when the file cannot be read or is wrong."""
        self._path = path
        self._seen = None if path is None else fingerprint(path)
        self.hooks: Sequence[Webhook] = () if path is None else read_webhooks(path)

    async def follow(self) -> None:
        """Look for changes for ever."""
        assert self._path is not None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            seen = fingerprint(self._path)
            if seen == self._seen:
                continue
            self._seen = seen
            try:
                self.hooks = read_webhooks(self._path)
            except InputError as error:
                log.warning("the changed webhooks are not used", extra={"error": str(error)})
            else:
                log.info("took over the changed webhooks", extra={"webhooks": len(self.hooks)})


def read_webhooks(path: Path) -> Sequence[Webhook]:
    """The webhooks of a file. Raises InputError, which has no secret in it."""
    try:
        hooks = Webhooks.model_validate(yaml.safe_load(path.read_bytes())).webhooks
    except OSError as error:
        raise InputError(f"webhooks: {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError:
        raise InputError(f"webhooks: {path} is not YAML") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"webhooks: {path}: {where}: {first['msg']}") from None
    names = [hook.name for hook in hooks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"webhooks: {path}: two are called {twice!r}; rename one of them")
    return hooks
