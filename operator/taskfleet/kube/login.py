"""How we log in: a kubeconfig when one is named, else the pod's service account, else the user's default kubeconfig."""

import os
from pathlib import Path

import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from taskfleet.kube.errors import KubeLoginFailed


async def load_login(kubeconfig: str | None = None) -> Configuration:
    """Address, certificates and credentials of the API server, read anew (tokens rotate). Raises KubeLoginFailed."""
    login = Configuration()
    chosen = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if not chosen and os.environ.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(client_configuration=login)  # type: ignore[no-untyped-call]  # has no types
            return login
        await load_kube_config(  # type: ignore[no-untyped-call]  # has no types
            config_file=_existing(chosen), client_configuration=login, persist_config=False
        )
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        # A file that is no kubeconfig makes the library stumble in any of these ways.
        raise KubeLoginFailed(
            f"cannot log in with the kubeconfig {chosen or 'of this user or pod'}: {error}"
        ) from error
    return login


def bearer_token(login: Configuration) -> str | None:
    """The token of a login without the word ``Bearer``; None when it uses a certificate."""
    header = login.api_key.get("BearerToken")
    return header.split(" ", 1)[-1].strip() if header else None


def _existing(chosen: str | None) -> str:
    path = chosen or str(Path.home() / ".kube" / "config")
    if any(Path(part).exists() for part in path.split(os.pathsep)):
        return path
    raise KubeLoginFailed(
        f"there is no kubeconfig at {path} and this is no pod: name one with --kubeconfig or KUBECONFIG"
    )
