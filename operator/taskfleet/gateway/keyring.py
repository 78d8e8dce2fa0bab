"""The API keys that a gateway knows, from a file that may change under it: a Secret that is mounted, or one's own."""

import hashlib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from taskfleet.api.gatewaykeys import ApiKeys
from taskfleet.core.errors import InputError
from taskfleet.gateway.answers import Refused
from taskfleet.gateway.callers import ANYONE, Caller
from taskfleet.gateway.reloading import Reloading

_HOW = "send it as the header Authorization: Bearer KEY (with OpenAI's clients: api_key)"


class Doorman(Protocol):
    """Knows callers by what they show."""

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Raises Refused (401)."""
        ...


class OpenDoor:
    """No keys: every program of this machine may do everything. Web pages of others may not, though a browser here
    shows them: neither as they are (``Origin``) nor under a name that leads here (``Host``)."""

    def caller(self, headers: Mapping[str, str]) -> Caller:
        for name in ("origin", "host"):
            shown = headers.get(name)
            if shown is not None and not _leads_here(shown):
                words = f"{name}: {shown!r} is not this machine, and without API keys nobody else is served; use --keys"
                raise Refused(403, "not_from_here", words)
        return ANYONE


def is_this_machine(host: str) -> bool:
    """Whether a name or address is that of this machine and of no other's."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _leads_here(url: str) -> bool:
    """Of a URL, or of what one has behind its scheme."""
    try:
        return is_this_machine(urlsplit(url if "//" in url else f"//{url}").hostname or "")
    except ValueError:
        return False


class KeyRing:
    """The keys of a file; ``file`` takes over what changes in it."""

    def __init__(self, path: Path) -> None:
        """Raises InputError when the file cannot be read or is wrong."""
        self._path = path
        self._callers: dict[str, Caller] = {}
        self.file = Reloading("API keys", (path,), self._take_over)

    def _take_over(self) -> None:
        self._callers = _load(self._path)

    def caller(self, headers: Mapping[str, str]) -> Caller:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(401, "missing_api_key", f"there is no API key; {_HOW}", {"WWW-Authenticate": "Bearer"})
        # What is compared are hashes: how long that takes tells nothing of a key.
        found = self._callers.get(hash_of(key.strip()))
        if found is None:
            words = "this API key is not known here, or not any more"
            raise Refused(401, "invalid_api_key", words, {"WWW-Authenticate": "Bearer"})
        return found


def hash_of(key: str) -> str:
    """What the file has of a key. Keys are long and random: no slow hash is needed."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def read_keys(path: Path) -> ApiKeys:
    """The keys of a file. Raises InputError."""
    try:
        return ApiKeys.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise InputError(f"keys: {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"keys: {path} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"keys: {path}: {where}: {first['msg']}") from error


def _load(path: Path) -> dict[str, Caller]:
    keys = read_keys(path).keys
    callers = {key.sha256: Caller.of(key) for key in keys}
    if len(callers) < len(keys):
        raise InputError(f"keys: {path}: two keys have the same sha256; remove one of them")
    return callers
