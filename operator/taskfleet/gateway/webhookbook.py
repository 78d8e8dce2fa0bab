"""Whom a gateway tells what, from a file that may change under it."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from taskfleet.api.webhooks import Webhook, Webhooks
from taskfleet.core.errors import InputError
from taskfleet.gateway.reloading import Reloading


class WebhookBook:
    """``hooks``: those of the file now; ``file`` takes over what changes in it."""

    def __init__(self, path: Path | None) -> None:
        """None: nobody is told anything. Raises InputError when the file cannot be read or is wrong."""
        self.hooks: Sequence[Webhook] = ()
        self.file = Reloading("webhooks", (path,), lambda: self._take_over(path)) if path is not None else None

    def _take_over(self, path: Path) -> None:
        self.hooks = read_webhooks(path)


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
