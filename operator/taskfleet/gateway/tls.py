"""TLS by files that may change under the gateway, as a renewed certificate does: who connects then gets the new one."""

import ssl
from pathlib import Path

from taskfleet.core.errors import InputError
from taskfleet.gateway.reloading import Reloading


class Certificate:
    """A certificate (with those between it and its authority) and its key. ``context`` serves with them; ``files``
    takes them over when they change."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises InputError when a file cannot be read, or the two do not belong together."""
        self._certificate = certificate
        self._key = key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.files = Reloading("certificate", (certificate, key), self._take_over)

    def _take_over(self) -> None:
        self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))  # or a wrong pair would spoil ours
        self._load(self.context)

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


class _Locked(Exception):
    """The key asks for a password, which nobody is there to type."""


def _no_password() -> str:
    raise _Locked
