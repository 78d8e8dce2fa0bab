"""The console in a real Chromium, in front of real gateways, a real store, a worker and the stub model server: one of
each for all tests of a process."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Error, Page, async_playwright, expect

from taskfleet.core.task import QueueKey
from taskfleet.gateway.keyring import hash_of
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from tests.gateway.conftest import working
from tests.gateway.test_keys import write
from tests.support.modelstub import ModelStub
from tests.support.modelstub import running as running_model
from tests.support.valkeyserver import running_valkey
from tests.support.work import Work

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WITHIN_MS = 20_000  # for what a page is to show
KEYS = (
    {"name": "boss", "sha256": hash_of("key-of-boss"), "rights": ["submit", "read", "work", "admin"]},
    {"name": "one", "sha256": hash_of("key-of-one"), "tenant": "one", "rights": ["submit", "read"]},
    {"name": "reader", "sha256": hash_of("key-of-reader"), "tenant": "one", "rights": ["read"]},
    {"name": "sender", "sha256": hash_of("key-of-sender"), "tenant": "one", "rights": ["submit"]},
)

_AN_ANSWER = "the server responded with a status of"  # which the page says in words of its own
_GATEWAYS: dict[Page, str] = {}  # whose console a tab shows

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
    """One loop for all tests: the tab is on it."""
    with asyncio.Runner() as own:
        yield own


@pytest.fixture(scope="session")
def house(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("console")
    keys = write(folder / "keys.yaml", *KEYS)
    with running_valkey(folder) as server, running_model() as model, ExitStack() as stack:
        url = f"valkey://127.0.0.1:{server.port}"
        options = GatewayOptions(url, "127.0.0.1", 0, "--port", "test", None, None, folder / "files", 1)
        opened = stack.enter_context(always_served(options))
        locked = stack.enter_context(always_served(replace(options, keys=keys)))
        store = runner.run(Store.connect(url))
        yield House(url, store, model, opened, locked, keys)
        runner.run(store.close())


@contextmanager
def always_served(options: GatewayOptions) -> Iterator[str]:
    """A gateway on a thread of its own; gives its URL. Between two tests nothing runs on their loop, and a browser does
    not wait for those who answer only now and then."""
    with asyncio.Runner() as own:
        stack = AsyncExitStack()
        url = own.run(stack.enter_async_context(gateway(options))).url
        loop = own.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="gateway", daemon=True)
        thread.start()
        try:
            yield url
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            own.run(stack.aclose())


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
def browser(runner: asyncio.Runner) -> Iterator[Page]:
    """The one tab of the one browser: opening another costs more than most tests."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed, so nobody has looked at the console (Debian: apt-get install chromium)")
    stack = AsyncExitStack()

    async def start() -> Page:
        playwright = await stack.enter_async_context(async_playwright())
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stack.push_async_callback(chromium.close)
        return await chromium.new_page()

    yield runner.run(start())
    runner.run(stack.aclose())


@pytest.fixture
def page(browser: Page, house: House, runner: asyncio.Runner) -> Iterator[Page]:
    """On the gateway without keys, with nothing kept of the test before."""
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(showing(browser, house.url)))
    runner.run(stack.aclose())


@asynccontextmanager
async def showing(page: Page, url: str) -> AsyncIterator[Page]:
    """The tab, for the console of this gateway. Nothing may break there or be refused by the policy."""
    broken: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _AN_ANSWER not in message.text:
            broken.append(message.text)

    def broke(error: Error) -> None:
        broken.append(str(error))

    _GATEWAYS[page] = url
    page.on("console", said)
    page.on("pageerror", broke)
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.emulate_media(color_scheme="light")
    try:
        yield page
        await page.evaluate("sessionStorage.clear(); localStorage.clear()")
        assert broken == []
    finally:
        await page.goto("about:blank")
        page.remove_listener("console", said)
        page.remove_listener("pageerror", broke)


async def go(page: Page, place: str = "") -> None:
    """To a place of the console."""
    await page.goto(f"{_GATEWAYS[page]}/console/#/{place}")


async def at(page: Page, place: str = "") -> None:
    """Go there, and wait until it has seen the queues."""
    await go(page, place)
    await expect(page.get_by_text("live", exact=True)).to_be_visible()
