"""A gateway's life: puts the parts together, serves until it is told to stop, and lets what runs end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry

from taskfleet.core.errors import InputError, StoreError
from taskfleet.core.task import QueueKey
from taskfleet.gateway.app import build_app
from taskfleet.gateway.batchrun import BatchRunner
from taskfleet.gateway.bucket import SCHEME, Bucket
from taskfleet.gateway.bucketstore import BucketStore
from taskfleet.gateway.connections import BoundedHttp
from taskfleet.gateway.direct import Direct
from taskfleet.gateway.directcrew import ApiKeys
from taskfleet.gateway.endpointkeys import no_api_keys
from taskfleet.gateway.ends import Ends
from taskfleet.gateway.filestorage import FileStorage
from taskfleet.gateway.filestore import FileStore
from taskfleet.gateway.keyring import Doorman, KeyRing, OpenDoor, is_this_machine
from taskfleet.gateway.news import News
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import Queues
from taskfleet.gateway.tls import Certificate
from taskfleet.gateway.webhookbook import WebhookBook
from taskfleet.gateway.webhooks import WebhookTeller
from taskfleet.store import Store
from taskfleet.telemetry.gatewaymetrics import GatewayMetrics
from taskfleet.telemetry.others import Others

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
USUAL_PORT = 8420
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """``keys``: the file of API keys; without it everyone may do everything, and only this machine may reach it.
    ``port`` 0: any free one; ``setting`` names it in errors. ``usual``: the queue of requests that name none.
    ``files``: the folder of what batches read and write, or ``s3://BUCKET/PREFIX``; gateways of one store share it.
    ``grace_seconds``: for requests that are being answered when it is to stop. ``api_keys``: of the endpoints that it
    calls itself. ``tls``: the files of a certificate and of its key; without them it serves in the clear.
    ``webhooks``: the file of those whom it tells of what ended. ``console``: whether there
    is the page /console."""

    store_url: str
    host: str
    port: int
    setting: str
    namespace: str
    usual: QueueKey | None
    keys: Path | None
    files: Path | str
    grace_seconds: int = 30
    api_keys: ApiKeys = no_api_keys
    tls: tuple[Path, Path] | None = None
    webhooks: Path | None = None
    console: bool = True


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that serves at the base URL ``url``. ``parts`` are what it is made of, which go on for ever."""

    url: str
    parts: tuple["asyncio.Task[None]", ...]

    async def until_broken(self) -> None:
        """Raise what broke a part of it, if ever one breaks."""
        done, _ = await asyncio.wait(self.parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()


@contextlib.asynccontextmanager
async def gateway(options: GatewayOptions) -> AsyncIterator[Serving]:
    """Serve until the block ends. Raises InputError (the address, the keys), StoreError."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # or every client that speaks no HTTP is a line
    doorman = _doorman(options)
    book = WebhookBook(options.webhooks)
    certificate = None if options.tls is None else Certificate(*options.tls)
    metrics = GatewayMetrics(CollectorRegistry())
    async with contextlib.AsyncExitStack() as stack:
        listening = stack.enter_context(_bound(options))
        store = await Store.connect(options.store_url)
        stack.push_async_callback(store.close)
        ends, queues = Ends(store), Queues(store, namespace=options.namespace, usual=options.usual)
        direct = Direct(store, queues, ends, options.api_keys)
        metrics.registry.register(Others(direct.registries))
        webhooks = WebhookTeller(store, book, metrics)
        parts = Parts(store, queues, ends, News(store, ends), direct, webhooks, asyncio.Event())
        files = await asyncio.to_thread(_file_storage, options.files)
        runner = BatchRunner(parts, files)
        health = _StoreHealth(store, metrics)
        server = _Server(
            uvicorn.Config(
                build_app(parts, files, runner, doorman, metrics, lambda: health.trouble, console=options.console),
                http=BoundedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=options.grace_seconds,
                ssl_context_factory=None if certificate is None else lambda _config, _usual: certificate.context,
            )
        )
        background = [ends.run(), queues.run(), runner.run(), health.run(), direct.run(), webhooks.run()]
        if book.file is not None:
            background.append(book.file.follow())
        if isinstance(doorman, KeyRing):
            background.append(doorman.file.follow())
        if certificate is not None:
            background.append(certificate.files.follow())
        answering = asyncio.create_task(_loudly(server.serve(sockets=[listening])))
        others = [asyncio.create_task(_loudly(part)) for part in background]
        stack.push_async_callback(_stopped, server, answering, others, parts)
        yield Serving(_url(options, listening.getsockname()[1]), (answering, *others))


async def _loudly(part: Coroutine[Any, Any, None]) -> None:
    try:
        await part
    except Exception:
        log.exception("a part of the gateway broke")
        raise


async def _stopped(
    server: uvicorn.Server, answering: "asyncio.Task[None]", others: Sequence["asyncio.Task[None]"], parts: Parts
) -> None:
    """Take nothing more, let what runs end, then end what serves it."""
    server.should_exit = True
    parts.closing.set()
    parts.news.end()
    await asyncio.wait([answering])
    for task in others:
        task.cancel()
    await asyncio.wait(others)


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


def _file_storage(place: Path | str) -> FileStorage:
    if isinstance(place, str) and place.startswith(SCHEME):
        return BucketStore(Bucket(place))
    try:
        return FileStore(Path(place))
    except OSError as error:
        raise InputError(f"files: the folder {place} cannot be used: {error.strerror}") from error


def _doorman(options: GatewayOptions) -> Doorman:
    if options.keys is not None:
        return KeyRing(options.keys)
    if not is_this_machine(options.host):
        raise InputError(
            f"keys: without API keys the gateway serves this machine only, and {options.host} can be reached from "
            "elsewhere; give a file of keys, or serve on 127.0.0.1"
        )
    return OpenDoor()


@contextlib.contextmanager
def _bound(options: GatewayOptions) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((options.host, options.port))
            listening.listen(_BACKLOG)  # who comes before it is served waits
        except OSError as error:
            raise InputError(f"{options.setting}: {options.port} cannot be used: {error.strerror}") from error
        yield listening


def _url(options: GatewayOptions, port: int) -> str:
    scheme = "http" if options.tls is None else "https"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{scheme}://{host}:{port}"
