"""TLS by files that may change under the gateway, as a renewed certificate does: who connects then gets the new one."""

import asyncio
import logging
import ssl
from pathlib import Path

from taskfleet.core.errors import InputError
from taskfleet.gateway.keyring import fingerprint

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Certificate:
    """A certificate (with those between it and its authority) and its key. ``context`` serves with them; ``follow``
    takes them over when they change. A pair that is wrong is logged, and the one before it stays."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises InputError when a file cannot be read, or the two do not belong together."""
        self._certificate = certificate
        self._key = key
        self._seen = self._fingerprints()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load(self.context)

    async def follow(self) -> None:
        """Look for changes for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            seen = self._fingerprints()
            if seen == self._seen:
                continue
            self._seen = seen
            try:
                self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))  # or a wrong pair would spoil ours
                self._load(self.context)
            except InputError as error:
                log.warning("the changed certificate is not used", extra={"error": str(error)})
            else:
                log.info("took over the changed certificate", extra={"certificate": str(self._certificate)})

    def _load(self, context: ssl.SSLContext) -> None:
        for option, path in (("--tls-cert", self._certificate), ("--tls-key", self._key)):
            try:
                path.read_bytes()
            except OSError as error:
                raise InputError(f"{option}: {path} cannot be read: {error.strerror}") from error
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (ssl.SSLError, _Locked) as error:
            raise InputError(self._words(error)) from error

    def _words(self, error: Exception) -> str:
        if isinstance(error, _Locked):
            return f"--tls-key: {self._key} is locked by a password; write it without one"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return f"--tls-key: {self._key} is not the key of the certificate in {self._certificate}"
        return (
            f"--tls-cert: {self._certificate} and {self._key} must hold a certificate and its key as PEM, the "
            f"gateway's own certificate first: {error}"
        )

    def _fingerprints(self) -> tuple[object, object]:
        return fingerprint(self._certificate), fingerprint(self._key)


class _Locked(Exception):
    """The key asks for a password, which nobody is there to type."""


def _no_password() -> str:
    raise _Locked
