"""API keys on a machine without Secrets: from environment variables, so that no manifest ever holds one.

``apiKeySecretRef: {name: llm-key, key: token}`` means the variable ``TASKFLEET_SECRET_LLM_KEY_TOKEN``.
"""

import re
from collections.abc import Mapping, Sequence

from taskfleet.api.endpoint import Endpoint, SecretKeyRef
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.errors import InputError

PREFIX = "TASKFLEET_SECRET_"


def variable_name(ref: SecretKeyRef) -> str:
    """The environment variable that stands for one key of a Secret."""
    return PREFIX + re.sub(r"[^A-Za-z0-9]", "_", f"{ref.name}_{ref.key}").upper()


def api_key(endpoint: Endpoint, environment: Mapping[str, str]) -> str | None:
    """The endpoint's API key, None when it needs none. Raises KeyError when its variable is not set."""
    ref = endpoint.api_key_secret_ref
    return None if ref is None else environment[variable_name(ref)]


def check_api_keys(pools: Sequence[WorkerPool], environment: Mapping[str, str]) -> None:
    """Raise InputError that names every variable which is missing or empty."""
    missing = [
        f"{variable_name(ref)} for the Secret {ref.name!r}, key {ref.key!r} "
        f"(WorkerPool {pool.metadata.name!r}, endpoint {endpoint.name!r})"
        for pool in pools
        for endpoint in pool.spec.endpoints
        if (ref := endpoint.api_key_secret_ref) is not None and not environment.get(variable_name(ref))
    ]
    if missing:
        raise InputError(
            "apiKeySecretRef: on this machine API keys come from environment variables; set " + ", and ".join(missing)
        )
