"""The file of a gateway's webhooks: whom it tells what."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from taskfleet.api.base import ApiModel
from taskfleet.core.task import QueueKey, is_tenant
from taskfleet.core.webhooks import WebhookEvent, secret_bytes


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("it must be an http or https URL with a host, without user, password and fragment")
    parts.port  # noqa: B018  raises ValueError
    return url


def _secret(secret: str) -> str:
    secret_bytes(secret)
    return secret


def _queue(name: str) -> str:
    return str(QueueKey.parse(name))


def _tenant(name: str) -> str:
    if not is_tenant(name):
        raise ValueError("it has 1 to 63 letters, digits and . _ -, beginning with a letter or digit")
    return name


class Webhook(ApiModel):
    """One receiver."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="What logs call it.")
    url: Annotated[str, AfterValidator(_url)] = Field(max_length=2048, description="Where events are posted to.")
    secret: Annotated[str, AfterValidator(_secret)] = Field(
        repr=False, description="What they are signed with: whsec_ and base64."
    )
    events: list[WebhookEvent] = Field(min_length=1, description="What is told.")
    queues: list[Annotated[str, AfterValidator(_queue)]] = Field(
        default_factory=list, description="Of these queues, namespace/name; of all when there are none."
    )
    tenants: list[Annotated[str, AfterValidator(_tenant)]] = Field(
        default_factory=list, description="Of these tenants; of all when there are none."
    )
    allow_private: bool = Field(False, description="Whether it may be at a private, loopback or link-local address.")

    def wants(self, event: WebhookEvent, queue: QueueKey, tenant: str) -> bool:
        return event in self.events and self.covers(queue) and (not self.tenants or tenant in self.tenants)

    def covers(self, queue: QueueKey) -> bool:
        return not self.queues or str(queue) in self.queues


class Webhooks(ApiModel):
    """All of them."""

    webhooks: list[Webhook]
