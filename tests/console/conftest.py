"""The console in a real Chromium, in front of real gateways, a real store, a worker and the stub model server: one of
each for all tests of a process, on one event loop."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from taskfleet.core.task import QueueKey
from taskfleet.gateway.keyring import hash_of
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from tests.gateway.conftest import working
from tests.gateway.test_keys import write
from tests.support.modelstub import ModelStub
from tests.support.valkeyserver import running_valkey
from tests.support.work import Work

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WITHIN_MS = 15_000  # for what a page is to show
KEYS = (
    {"name": "boss", "sha256": hash_of("key-of-boss"), "rights": ["submit", "read", "work", "admin"]},
    {"name": "one", "sha256": hash_of("key-of-one"), "tenant": "one", "rights": ["submit", "read"]},
    {"name": "reader", "sha256": hash_of("key-of-reader"), "tenant": "one", "rights": ["read"]},
    {"name": "sender", "sha256": hash_of("key-of-sender"), "tenant": "one", "rights": ["submit"]},
)

expect.set_options(timeout=WITHIN_MS)


@dataclass(frozen=True)
class House:
    """``url``: of the gateway that asks for no keys, ``locked``: of the one that knows the ``keys`` of its file."""

    store_url: str
    store: Store
    model: ModelStub
    url: str
    locked: str
    keys: Path


@pytest.fixture(scope="session", autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all tests: the browser is on it."""
    with asyncio.Runner() as own:
        yield own


@pytest.fixture(scope="session")
def house(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("console")
    stack = AsyncExitStack()

    async def start(store_url: str) -> House:
        store = await Store.connect(store_url)
        stack.push_async_callback(store.close)
        model = await stack.enter_async_context(ModelStub())
        options = GatewayOptions(store_url, "127.0.0.1", 0, "--port", "test", None, None, folder / "files", 1)
        keys = write(folder / "keys.yaml", *KEYS)
        opened = (await stack.enter_async_context(gateway(options))).url
        locked = (await stack.enter_async_context(gateway(replace(options, keys=keys)))).url
        return House(store_url, store, model, opened, locked, keys)

    with running_valkey(folder) as server:
        yield runner.run(start(f"valkey://127.0.0.1:{server.port}"))
        runner.run(stack.aclose())


@pytest.fixture(scope="session")
def store_url(house: House) -> str:
    return house.store_url


@pytest.fixture
def work(house: House, queue: QueueKey, runner: asyncio.Runner) -> Work:
    """An open queue that nobody works for."""
    opened = Work(house.store, queue)
    runner.run(opened.open())
    return opened


@pytest.fixture
def worker(house: House, work: Work, runner: asyncio.Runner) -> Iterator[None]:
    """Somebody who does."""
    stack = AsyncExitStack()
    runner.run(stack.enter_async_context(working(house.store_url, work.queue, house.model.url)))
    yield
    house.model.clear_faults()
    runner.run(stack.aclose())


@pytest.fixture(scope="session")
def browser(runner: asyncio.Runner) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed, so nobody has looked at the console (Debian: apt-get install chromium)")
    stack = AsyncExitStack()

    async def start() -> Browser:
        playwright = await stack.enter_async_context(async_playwright())
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stack.push_async_callback(found.close)
        return found

    yield runner.run(start())
    runner.run(stack.aclose())


@pytest.fixture
def page(browser: Browser, house: House, runner: asyncio.Runner) -> Iterator[Page]:
    """A tab that nobody has used, on the gateway without keys. Nothing may break on it, nor be refused by its policy."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(tab(browser, house.url)))
    runner.run(stack.aclose())


@asynccontextmanager
async def tab(browser: Browser, url: str) -> AsyncIterator[Page]:
    """``page.goto("console/")`` is below ``url``."""
    context = await browser.new_context(base_url=f"{url}/", viewport={"width": 1280, "height": 900})
    shown = await context.new_page()
    broken: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            broken.append(message.text)

    shown.on("console", said)
    shown.on("pageerror", lambda error: broken.append(str(error)))
    try:
        yield shown
        assert broken == []
    finally:
        await context.close()


async def at(page: Page, place: str = "") -> None:
    """Go to a place of the console and wait until it has seen the queues."""
    await page.goto(f"console/#/{place}")
    await expect(page.get_by_text("live", exact=True)).to_be_visible()
