"""Every trouble of the library as one of our errors, in a sentence that names the server and the fix."""

import os
import re
import ssl
from typing import TypeVar

from valkey import exceptions as trouble
from valkey.asyncio.sentinel import MasterNotFoundError

from taskfleet.core.errors import StoreAuthFailed, StoreError, StoreOutOfMemory, StoreUnreachable

E = TypeVar("E", bound=OSError)

# What a server says when it is there and cannot serve: the first word of its answer, and what to do about it.
_BUSY_ANSWERS = {
    "LOADING": "is still loading its data; try again in a moment",
    "BUSY": "is busy with a long script; try again in a moment",
    "READONLY": "is a replica and takes no writes; give the URL of the primary",
    "MASTERDOWN": "is a replica that has lost its primary; give the URL of the primary",
    "CLUSTERDOWN": "belongs to a cluster that is down; look at its nodes",
    "MISCONF": "cannot write to its disk and so takes no writes; look at its log",
    "NOREPLICAS": "has too few replicas to take writes; look at its replication",
    "TRYAGAIN": "is moving this queue to another node; try again in a moment",
}

_WRONG_NAMES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h

_IN_A_SCRIPT = re.compile(r"^Error running script .*: -([A-Z]+) ")

# The library takes the first word off the answers that it has a class for.
_CLASSES: dict[str, type[Exception]] = {
    "LOADING": trouble.BusyLoadingError,
    "READONLY": trouble.ReadOnlyError,
    "MASTERDOWN": trouble.MasterDownError,
    "CLUSTERDOWN": trouble.ClusterDownError,
    "TRYAGAIN": trouble.TryAgainError,
}

_ABOUT_USERS = (
    trouble.AuthenticationError,
    trouble.AuthenticationWrongNumberOfArgsError,
    trouble.AuthorizationError,
    trouble.NoPermissionError,
)


def _system_words(error: Exception) -> str:
    """``Connection refused``; what the library makes of it repeats the address twice."""
    cause = _first(OSError, error)
    if cause is None or cause.errno is None:
        return str(error)
    return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)  # names that do not resolve are below 0


def _reason(error: Exception) -> str:
    not_secure = _first(ssl.SSLError, error)
    return (
        f" ({_system_words(error)}); is it running?" if not_secure is None else f" with TLS: {_tls_words(not_secure)}"
    )


def _tls_words(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"{(error.reason or str(error)).lower().replace('_', ' ')}; does it speak TLS at this port?"
    said = error.verify_message.rstrip(".")
    if error.verify_code in _WRONG_NAMES:
        return f"{said}; write a host that its certificate has, or add ?ssl_check_hostname=false to its URL"
    return (
        f"its certificate is not trusted ({said}); give the authority that signed it: add ?ssl_ca_certs=FILE to its "
        "URL, or put its PEM into TASKFLEET_STORE_CA"
    )


def _first(kind: type[E], error: Exception) -> E | None:
    """The first of this kind that has a number, of an error and what it came of."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, kind) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, kind) else None


def explain(error: Exception, where: str, *, tls: bool = False) -> StoreError:
    """Our error for one of the library's, in a sentence that names the server and the fix."""
    text = str(error)
    first_word = _code(text)
    if isinstance(error, trouble.OutOfMemoryError) or "OOM command not allowed" in text:
        return StoreOutOfMemory(
            f"the store at {where} is full (maxmemory) and takes no new tasks; raise maxmemory or let it drain"
        )
    if isinstance(error, _ABOUT_USERS):
        return _not_permitted(error, text, where)
    for answer, words in _BUSY_ANSWERS.items():
        if first_word == answer or isinstance(error, _CLASSES.get(answer, ())):
            return StoreUnreachable(f"the store at {where} {words}")
    if isinstance(error, trouble.TimeoutError | TimeoutError):
        not_tls = ", or does it not speak TLS" if tls else ""
        return StoreUnreachable(
            f"the store at {where} did not answer in time; is it overloaded, or the network cut{not_tls}?"
        )
    if isinstance(error, trouble.InvalidResponse):
        return StoreError(f"the store at {where} is no Valkey or Redis server; check host and port in its URL")
    if isinstance(error, trouble.ValkeyClusterException | trouble.ClusterError):
        said = text.partition("\n")[0].rstrip(".")
        return StoreUnreachable(f"the cluster at {where} cannot be used now ({said}); look at its nodes")
    if isinstance(error, MasterNotFoundError):
        return StoreUnreachable(f"no primary is known for the store at {where}; look at its Sentinels and their name")
    if isinstance(error, trouble.ConnectionError | OSError):
        return StoreUnreachable(f"the store at {where} cannot be reached{_reason(error)}")
    return StoreError(f"the store at {where} answered with an error: {text}")


def _code(text: str) -> str:
    """The word that a server's answer begins with. Redis 6 wraps that of a command in a script in words of its own."""
    inside = _IN_A_SCRIPT.search(text)
    return inside[1] if inside else text.split(" ", 1)[0]


def _not_permitted(error: Exception, text: str, where: str) -> StoreError:
    if isinstance(error, trouble.NoPermissionError | trouble.AuthorizationError):
        return StoreAuthFailed(f"the store at {where} does not permit its user what Taskfleet does: {text}")
    if "required" in text:
        return StoreAuthFailed(f"the store at {where} needs a password; write valkey://:PASSWORD@HOST:PORT")
    return StoreAuthFailed(f"the store at {where} refused the user or password; check those in its URL")
