"""The certificate that a TLS server shows, valid or not, as plain data."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

_NAMES_SHOWN = 20


def described(der: bytes, reason: str = "") -> Mapping[str, Any]:
    """What it says of itself; ``reason`` is why it is not trusted. A certificate that cannot be read is not valid."""
    try:
        found = x509.load_der_x509_certificate(der)
        ends = found.not_valid_after_utc
        return {
            "valid": not reason,
            "reason": reason or None,
            "subject": _name(found.subject),
            "issuer": _name(found.issuer),
            "names": _alternatives(found)[:_NAMES_SHOWN],
            "not_before": _time(found.not_valid_before_utc),
            "not_after": _time(ends),
            "days_left": (ends - datetime.now(UTC)).days,
        }
    except ValueError as error:
        return {"valid": False, "reason": reason or f"the certificate cannot be read: {error}"}


async def shown_by(address: str, port: int, host: str) -> bytes | None:
    """The certificate of a server that is not trusted; nothing is sent to it. None where it shows none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        transport, _ = await loop.create_connection(
            asyncio.Protocol, address, port, ssl=context, server_hostname=host, ssl_handshake_timeout=5.0
        )
        try:
            return bytes(transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"") or None
        finally:
            transport.abort()
    return None


def _name(name: x509.Name) -> str:
    """The common name, or all of it where there is none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _alternatives(found: x509.Certificate) -> list[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
    return [str(name.value) for name in names]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
