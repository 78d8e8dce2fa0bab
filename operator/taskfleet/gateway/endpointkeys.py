"""API keys of the endpoints that a gateway calls itself: files of a folder, as Secrets are mounted."""

from pathlib import Path

from taskfleet.api.endpoint import Endpoint
from taskfleet.gateway.directcrew import ApiKeys


def no_api_keys(_namespace: str, endpoint: Endpoint) -> str | None:
    """None of them is known here."""
    if endpoint.api_key_secret_ref is not None:
        raise KeyError("give the gateway --secrets")
    return None


def mounted_api_keys(folder: Path) -> ApiKeys:
    """The key ``token`` of the Secret ``llm-key`` in the namespace ``demo`` is the file ``demo/llm-key/token``."""

    def api_key(namespace: str, endpoint: Endpoint) -> str | None:
        ref = endpoint.api_key_secret_ref
        if ref is None:
            return None
        path = folder / namespace / ref.name / ref.key
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise KeyError(f"{path} cannot be read: {error}") from error

    return api_key
