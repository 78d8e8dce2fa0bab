"""Who may ask: the API server and nobody else, by the certificate with which it speaks for those whom it has let in.

The API server has asked for the rights of whoever asks before it passes a request on, and says so with a certificate of
its front proxy. Its authority stands in a ConfigMap of every cluster. Without such a certificate no connection is made.
"""

import json
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from taskfleet.core.errors import InputError, TaskfleetError
from taskfleet.kube import CONFIG_MAPS, KubeClient

_NAMESPACE, _NAME = "kube-system", "extension-apiserver-authentication"
_AUTHORITY, _NAMES = "requestheader-client-ca-file", "requestheader-allowed-names"


class NoFrontProxy(TaskfleetError):
    """The cluster's API server passes nothing on to APIs beside its own."""

    code = "no_front_proxy"


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """How to know the API server: ``authority`` (PEM) signs its certificate, whose common name is one of ``names``
    (none: any)."""

    authority: str
    names: frozenset[str]

    def is_it(self, certificate: dict[str, object] | None) -> bool:
        """Whether a certificate that the authority has signed is the front proxy's."""
        return certificate is not None and (not self.names or not self.names.isdisjoint(_common_names(certificate)))


async def front_proxy(client: KubeClient) -> FrontProxy:
    """What the cluster says of its front proxy. Raises NoFrontProxy, KubeError."""
    found = await client.get(CONFIG_MAPS, _NAMESPACE, _NAME)
    data = found.get("data", {})
    if not data.get(_AUTHORITY):
        raise NoFrontProxy(
            f"the ConfigMap {_NAMESPACE}/{_NAME} has no {_AUTHORITY}: this cluster's API server was started without an "
            "aggregation layer, so no HPA can ask here"
        )
    return FrontProxy(data[_AUTHORITY], frozenset(json.loads(data.get(_NAMES, "[]"))))


def server_context(folder: Path, proxy: FrontProxy) -> ssl.SSLContext:
    """TLS with ``tls.crt`` and ``tls.key`` of a folder, for clients that the front proxy's authority has signed.

    Raises InputError when the files are not there or do not fit.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=proxy.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # authorities of clusters are often plainer than the standard asks
    try:
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"--tls: {folder} must hold tls.crt and its tls.key: {error}") from error
    return context


def peer_certificate(request: web.Request) -> dict[str, object] | None:
    """The certificate of whoever is at the other end."""
    assert request.transport is not None
    certificate: dict[str, object] | None = request.transport.get_extra_info("peercert")
    return certificate


def _common_names(certificate: dict[str, object]) -> Collection[str]:
    subject = certificate.get("subject", ())
    assert isinstance(subject, tuple)
    return [value for part in subject for key, value in part if key == "commonName"]
