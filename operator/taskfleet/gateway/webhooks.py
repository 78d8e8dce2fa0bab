"""Tells receivers outside of tasks and batches that ended. What is to be told is in the store: any gateway may deliver
it, each delivery is one gateway's at a time, and one that dies leaves it to the others."""

import asyncio
import contextlib
import logging
import random
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from taskfleet.api.webhooks import Webhook
from taskfleet.core.errors import StoreError, TaskfleetError
from taskfleet.core.task import QueueKey, TaskView
from taskfleet.core.webhooks import WebhookEvent, event_of, pause_before
from taskfleet.gateway.webhookbook import WebhookBook
from taskfleet.gateway.webhookpost import POST_SECONDS, NotDelivered, Poster
from taskfleet.store import Store
from taskfleet.store.deliveries import Delivery, Ended
from taskfleet.telemetry.gatewaymetrics import GatewayMetrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
HOLD_SECONDS = 2 * POST_SECONDS
KEEP_SECONDS = 24 * 3600.0  # what ended while no gateway was there is told within this time
MOST_AT_ONCE = 8  # of one receiver, so that none that is slow keeps the others from theirs


class WebhookTeller:
    """``run`` it as long as the gateway serves."""

    def __init__(self, store: Store, book: WebhookBook, metrics: GatewayMetrics) -> None:
        self._store = store
        self._book = book
        self._metrics = metrics
        self._poster = Poster()
        self._running: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._look = asyncio.Event()

    async def batch_ended(self, queue: QueueKey, batch: str, status: str, tenant: str, at: int) -> None:
        """Have this told. Raises StoreError."""
        event = WebhookEvent(f"batch.{status}")
        document = _document(event, batch, at, {"id": batch})
        deliveries = [
            Delivery(hook.name, document["id"], document)
            for hook in self._book.hooks
            if hook.wants(event, queue, tenant)
        ]
        if deliveries:
            await self._store.deliveries.add(queue, deliveries)
            self._look.set()

    async def run(self) -> None:
        """Tell for ever."""
        try:
            while True:
                self._look.clear()
                if self._book.hooks:
                    with contextlib.suppress(TaskfleetError):  # the store is away, or a queue is gone: at the next look
                        await self._look_everywhere()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look.wait()
        finally:
            posting = [each for running in self._running.values() for each in running]
            for each in posting:
                each.cancel()
            await asyncio.gather(*posting, return_exceptions=True)
            await self._poster.close()

    async def _look_everywhere(self) -> None:
        for queue in await self._store.queues():
            hooks = [hook for hook in self._book.hooks if hook.covers(queue)]
            if any(event.of_task for hook in hooks for event in hook.events):
                while found := await self._store.deliveries.ended(queue, KEEP_SECONDS):
                    for ended in found:
                        await self._write_down(queue, hooks, ended)
            for hook in hooks:
                await self._begin(queue, hook)

    async def _write_down(self, queue: QueueKey, hooks: list[Webhook], ended: Ended) -> None:
        """What ended becomes what is to be delivered, whole and once."""
        deliveries: list[Delivery] = []
        for view in await self._store.get(queue, ended.ids):
            if view is None or not view.state.is_final:  # removed, or redriven meanwhile
                continue
            event, document = event_of(view.state), _of_task(queue, view, ended.entry)
            deliveries += [
                Delivery(hook.name, document["id"], document) for hook in hooks if hook.wants(event, queue, view.tenant)
            ]
        await self._store.deliveries.told(ended, deliveries)

    async def _begin(self, queue: QueueKey, hook: Webhook) -> None:
        running = self._running[hook.name]
        free = MOST_AT_ONCE - len(running)
        if free <= 0:
            return
        for place, delivery in await self._store.deliveries.take(queue, hook.name, free, HOLD_SECONDS):
            posting = asyncio.create_task(self._deliver_all(queue, hook, place, delivery))
            running.add(posting)
            posting.add_done_callback(running.discard)

    async def _deliver_all(self, queue: QueueKey, hook: Webhook, place: QueueKey, delivery: Delivery) -> None:
        """This one, and then what is due behind it."""
        due = [(place, delivery)]
        try:
            while due and hook in self._book.hooks:
                ((place, delivery),) = due
                await self._deliver(place, hook, delivery)
                due = await self._store.deliveries.take(queue, hook.name, 1, HOLD_SECONDS)
        except StoreError as error:  # what is in our hands is due again in a while, and its receiver knows its id
            log.warning("the store was not told of a delivery", extra={"webhook": hook.name, "error": str(error)})
        except Exception:
            log.exception("a delivery broke", extra={"webhook": hook.name, "delivery": delivery.id})

    async def _deliver(self, place: QueueKey, hook: Webhook, delivery: Delivery) -> None:
        event = {name: value for name, value in delivery.document.items() if name != "attempt"}
        try:
            await self._poster.post(hook, delivery.id, event)
        except NotDelivered as why:
            await self._not_delivered(place, delivery, delivery.document.get("attempt", 1), why)
        else:
            await self._store.deliveries.done(place, delivery)
            self._metrics.webhooks.labels("delivered").inc()

    async def _not_delivered(self, place: QueueKey, delivery: Delivery, attempt: int, why: NotDelivered) -> None:
        pause = None if why.for_good else pause_before(attempt + 1, random.random())
        about = {"webhook": delivery.receiver, "delivery": delivery.id, "attempt": attempt, "why": str(why)}
        if pause is None:
            log.warning("an event was not delivered and is given up", extra=about)
            self._metrics.webhooks.labels("given_up").inc()
            await self._store.deliveries.done(place, delivery)
            return
        log.info("an event was not delivered", extra=about | {"again_in_seconds": round(pause)})
        self._metrics.webhooks.labels("retried").inc()
        again = replace(delivery, document={**delivery.document, "attempt": attempt + 1})
        await self._store.deliveries.put_off(place, again, pause)


def _of_task(queue: QueueKey, view: TaskView, entry: bytes) -> dict[str, Any]:
    about = {"id": view.id, "queue": str(queue), "tenant": view.tenant, "batch": view.batch, "session": view.session}
    # A task that is redriven ends once more: its ends are told apart by when they were told.
    return _document(event_of(view.state), f"{view.id}-{entry.decode()}", round(time.time()), about)


def _document(event: WebhookEvent, about: str, at: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """An event as OpenAI writes it."""
    return {
        "id": f"evt_{event.value}_{about}",
        "object": "event",
        "created_at": at,
        "type": event.value,
        "data": data,
    }
