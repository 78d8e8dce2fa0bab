"""What can go wrong with the Kubernetes API, each as its own class and with the API server's own sentence."""

import json
from typing import Any

from taskfleet.core.errors import TaskfleetError


class KubeError(TaskfleetError):
    """Root of the errors of this package."""

    code = "kubernetes_error"
    exit_code = 20


class KubeLoginFailed(KubeError):
    """No kubeconfig and no service account, or one that cannot be used."""

    code = "kubernetes_login_failed"


class KubeUnreachable(KubeError):
    """The API server cannot be reached: refused, cut, timed out, or its certificate is not trusted."""

    code = "kubernetes_unreachable"


class KubeUnauthorized(KubeError):
    """401: the API server does not know who we are."""

    code = "kubernetes_unauthorized"


class KubeForbidden(KubeError):
    """403: we are known, and lack a right. The message names the verb and the resource."""

    code = "kubernetes_forbidden"


class KubeNotFound(KubeError):
    """404: no such object, or no such kind."""

    code = "kubernetes_not_found"


class KubeConflict(KubeError):
    """409: the object is another one, or has changed, since it was seen."""

    code = "kubernetes_conflict"


class KubeRefused(KubeError):
    """400, 422 and the like: the API server finds fault with what we sent; the same again will not do."""

    code = "kubernetes_refused"


class KubeThrottled(KubeError):
    """429: too many requests; later the same one will do."""

    code = "kubernetes_throttled"


class KubeUnavailable(KubeError):
    """5xx: the API server has trouble of its own."""

    code = "kubernetes_unavailable"


_BY_STATUS: dict[int, type[KubeError]] = {
    401: KubeUnauthorized,
    403: KubeForbidden,
    404: KubeNotFound,
    409: KubeConflict,
}


def error_from_response(status: int, body: bytes, what: str) -> KubeError:
    """The error for an answer of ``status`` to the request ``what`` (such as ``apply deployments demo/a``)."""
    said = _message(body) or f"HTTP status {status}"
    if status == 401:
        return KubeUnauthorized(f"{what}: the API server refuses our credentials: {said}")
    if status == 403:
        return KubeForbidden(f"{what}: {said}; the role of the controller must allow it")
    if status == 429:
        return KubeThrottled(f"{what}: the API server asks to slow down: {said}")
    if status >= 500:
        return KubeUnavailable(f"{what}: the API server has trouble: {said}")
    return _BY_STATUS.get(status, KubeRefused)(f"{what}: {said}")


def _message(body: bytes) -> str:
    """The sentence of a metav1.Status; of anything else (a proxy's page) its beginning."""
    try:
        status: Any = json.loads(body)
    except ValueError:
        return body[:200].decode(errors="replace").strip()
    return str(status.get("message", "")) if isinstance(status, dict) else ""
