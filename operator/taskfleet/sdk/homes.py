"""Where the tasks of a queue object are kept: in this process, in a store, or behind a gateway."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import InputError
from taskfleet.sdk.backend import Backend, StoreBackend
from taskfleet.sdk.missing import what_is_missing
from taskfleet.sdk.standins import StandIns
from taskfleet.sdk.wanted import Wanted
from taskfleet.store import Store
from taskfleet.store.watch import Watch

if TYPE_CHECKING:
    from taskfleet.worker.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Home:
    """``place``: where workers in this process work, ``connect`` gives each of them its own. ``hears``: what tells a
    watch of ends, for ever; None where whoever ends a task in this process tells by himself, or nobody does
    (``nudged`` False). ``stand_ins``: who decides which model stands in for which; None where a controller does, or
    nobody needs to."""

    backend: Backend
    place: "Workplace"
    connect: Callable[[], Awaitable["Workplace"]]
    nudged: bool
    hears: Callable[[Watch], Coroutine[Any, Any, None]] | None = None
    stand_ins: StandIns | None = None


async def home_of(wanted: Wanted, endpoints: Sequence[Endpoint], stack: AsyncExitStack) -> Home:
    """Closed with the stack. Raises InputError, StoreError."""
    if wanted.url is None:
        return await _in_process(wanted, endpoints, stack)
    if wanted.is_gateway:
        return await _behind_gateway(wanted, wanted.url, endpoints, stack)
    return await _in_store(wanted, wanted.url, stack)


async def _in_process(wanted: Wanted, endpoints: Sequence[Endpoint], stack: AsyncExitStack) -> Home:
    with what_is_missing():
        from taskfleet.sdk.inprocess import EmbeddedQueue
    here = await stack.enter_async_context(EmbeddedQueue(wanted.key, list(endpoints), wanted.policy, wanted.data))
    backend = StoreBackend(here.store, wanted.key, private=True)
    stand_ins = StandIns(endpoints, here.spec.fallbacks, here.publish) if here.spec.fallbacks else None
    return Home(backend, here.store, lambda: Store.connect(here.url), nudged=True, stand_ins=stand_ins)


async def _in_store(wanted: Wanted, url: str, stack: AsyncExitStack) -> Home:
    store = await Store.connect(url)
    stack.push_async_callback(store.close)
    backend = StoreBackend(store, wanted.key, private=False)
    return Home(backend, store, lambda: Store.connect(url), nudged=False)


async def _behind_gateway(wanted: Wanted, url: str, endpoints: Sequence[Endpoint], stack: AsyncExitStack) -> Home:
    with what_is_missing():
        from taskfleet.sdk.gatewaybackend import GatewayBackend
        from taskfleet.sdk.gatewayhttp import GatewayHttp
        from taskfleet.sdk.gatewaynews import GatewayNews
        from taskfleet.sdk.gatewaywork import GatewayWork
    limited = next((endpoint for endpoint in endpoints if endpoint.limits), None)
    if limited is not None:
        raise InputError(
            f"instances: {limited.name} has a rateLimit, which its workers share in the store; leave it out, or give "
            "the URL of the store in place of the gateway's"
        )
    http = GatewayHttp(url, wanted.key, wanted.api_key)
    stack.push_async_callback(http.close)
    news = GatewayNews(http)

    async def connect() -> GatewayWork:
        return GatewayWork(GatewayHttp(url, wanted.key, wanted.api_key))

    place = await connect()
    stack.push_async_callback(place.close)
    return Home(GatewayBackend(http, wanted.key, news), place, connect, nudged=True, hears=news.run)
