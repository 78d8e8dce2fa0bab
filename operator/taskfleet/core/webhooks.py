"""What is told by webhook, how it is signed (Standard Webhooks), and when it is tried again. Pure."""

import base64
import binascii
import hashlib
import hmac
from enum import StrEnum

from taskfleet.core.task import TaskState

SECRET_PREFIX = "whsec_"
_LEAST_SECRET, _MOST_SECRET = 24, 64  # bytes
# Seconds before each further attempt, as Standard Webhooks proposes: three days in all.
_PAUSES = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
_JITTER = 0.1


class WebhookEvent(StrEnum):
    """Those of batches have OpenAI's names."""

    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_CANCELLED = "batch.cancelled"
    BATCH_EXPIRED = "batch.expired"
    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
    TASK_CANCELLED = "task.cancelled"
    TASK_EXPIRED = "task.expired"

    @property
    def of_task(self) -> bool:
        return self.value.startswith("task.")


def event_of(state: TaskState) -> WebhookEvent:
    """Of a task that ended so."""
    return WebhookEvent(f"task.{state.value}")


def secret_bytes(secret: str) -> bytes:
    """What a secret ``whsec_BASE64`` signs with. ValueError with the fix when it is none."""
    try:
        found = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        found = b""
    if not secret.startswith(SECRET_PREFIX) or not _LEAST_SECRET <= len(found) <= _MOST_SECRET:
        raise ValueError(
            f"it must be {SECRET_PREFIX} and {_LEAST_SECRET} to {_MOST_SECRET} random bytes in base64; make one with: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return found


def signed_headers(secret: str, identity: str, at: int, body: bytes) -> dict[str, str]:
    """The headers by which the receiver knows that it is from us, and that it is this very message."""
    signed = b"%b.%d.%b" % (identity.encode(), at, body)
    signature = base64.b64encode(hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": identity, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def pause_before(attempt: int, draw: float) -> float | None:
    """Seconds before attempt number ``attempt`` (2 is the first further one), None: there is none. ``draw``: a random
    number from 0 to 1, so that not all come back at once."""
    if attempt - 2 >= len(_PAUSES):
        return None
    return _PAUSES[attempt - 2] * (1 + _JITTER * (2 * draw - 1))
