"""A gateway's life: puts the parts together, serves until it is told to stop, and lets what runs end."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry

from taskfleet.core.errors import InputError, StoreError
from taskfleet.core.task import QueueKey
from taskfleet.gateway.app import build_app
from taskfleet.gateway.ends import Ends
from taskfleet.gateway.keyring import Doorman, KeyRing, OpenDoor
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import Queues
from taskfleet.store import Store
from taskfleet.telemetry.metrics import GatewayMetrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """``keys``: the file of API keys; without it everyone may do everything, and only this machine may reach it.
    ``port`` 0: any free one; ``setting`` names it in errors. ``usual``: the queue of requests that name none."""

    store_url: str
    host: str
    port: int
    setting: str
    namespace: str
    usual: QueueKey | None
    keys: Path | None


@contextlib.asynccontextmanager
async def gateway(options: GatewayOptions) -> AsyncIterator[str]:
    """Serve until the block ends; gives the base URL. Raises InputError (the address, the keys), StoreError."""
    doorman = _doorman(options)
    metrics = GatewayMetrics(CollectorRegistry())
    async with contextlib.AsyncExitStack() as stack:
        listening = stack.enter_context(_bound(options))
        store = await Store.connect(options.store_url)
        stack.push_async_callback(store.close)
        parts = Parts(store, Queues(store, namespace=options.namespace, usual=options.usual), Ends(store))
        health = _StoreHealth(store, metrics)
        server = _Server(
            uvicorn.Config(
                build_app(parts, doorman, metrics, lambda: health.trouble),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        background = [parts.ends.run(), health.run()]
        if isinstance(doorman, KeyRing):
            background.append(doorman.follow())
        async with asyncio.TaskGroup() as group:  # any of them broken ends the process, loudly
            running = [group.create_task(part) for part in background]
            serving = group.create_task(server.serve(sockets=[listening]))
            try:
                yield _url(options.host, listening.getsockname()[1])
            finally:
                server.should_exit = True
                await asyncio.wait([serving])
                for task in running:
                    task.cancel()


class _Server(uvicorn.Server):
    """One that leaves the signals of the process to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _StoreHealth:
    """Whether the store answers: ``trouble`` is "" when it does."""

    def __init__(self, store: Store, metrics: GatewayMetrics) -> None:
        self.trouble = ""
        self._store = store
        self._metrics = metrics

    async def run(self) -> None:
        while True:
            try:
                await self._store.ping()
                self.trouble = ""
            except StoreError as error:
                self.trouble = str(error)
            self._metrics.store_up.set(not self.trouble)
            await asyncio.sleep(LOOK_SECONDS)


def _doorman(options: GatewayOptions) -> Doorman:
    if options.keys is not None:
        return KeyRing(options.keys)
    if not _only_here(options.host):
        raise InputError(
            f"keys: without API keys the gateway serves this machine only, and {options.host} can be reached from "
            "elsewhere; give a file of keys, or serve on 127.0.0.1"
        )
    return OpenDoor()


def _only_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _bound(options: GatewayOptions) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((options.host, options.port))
        except OSError as error:
            raise InputError(f"{options.setting}: {options.port} cannot be used: {error.strerror}") from error
        yield listening


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
