"""What the parts of a gateway share."""

import asyncio
from dataclasses import dataclass

from taskfleet.gateway.direct import Direct
from taskfleet.gateway.ends import Ends
from taskfleet.gateway.news import News
from taskfleet.gateway.queues import Queues
from taskfleet.gateway.webhooks import WebhookTeller
from taskfleet.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each in a process. ``closing`` is set when it is to end: what goes on for ever ends then."""

    store: Store
    queues: Queues
    ends: Ends
    news: News
    direct: Direct
    webhooks: WebhookTeller
    closing: asyncio.Event
