"""What the console says when it cannot see: never that nothing is there."""

import asyncio
from dataclasses import replace
from pathlib import Path

from playwright.async_api import Page, expect

from taskfleet.core.task import QueueKey
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from tests.console.conftest import House, at, showing
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.work import Work


async def test_a_store_that_is_away_is_said_with_what_was_seen_before_and_comes_back(
    browser: Page, queue: QueueKey, tmp_path: Path
) -> None:
    with running_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(url)
        work = Work(store, queue)
        await work.open()
        await work.submit("a", "b")
        options = GatewayOptions(url, "127.0.0.1", 0, "--port", "test", None, None, tmp_path / "files", 1)
        async with gateway(options) as here, showing(browser, here.url) as page:
            await at(page)
            line = page.get_by_role("row").filter(has=page.get_by_role("link", name=str(queue), exact=True))
            await expect(line).to_contain_text("2 normal")
            await asyncio.to_thread(server.terminate)
            banner = page.locator("#unseen")
            await expect(banner).to_contain_text("Could not see")
            await expect(banner).to_contain_text("What is shown is of")
            await expect(page.get_by_role("alert")).to_contain_text("Could not see")
            await expect(line).to_contain_text("2 normal")
            await asyncio.to_thread(server.start)
            await expect(page.get_by_text("live", exact=True)).to_be_visible()
            await expect(banner).to_be_hidden()
        await store.close()


async def test_a_gateway_that_is_away_is_waited_for(browser: Page, house: House, work: Work, tmp_path: Path) -> None:
    port = free_port()
    options = GatewayOptions(house.store_url, "127.0.0.1", port, "--port", "test", None, None, tmp_path / "files", 1)
    async with showing(browser, f"http://127.0.0.1:{port}") as page:
        async with gateway(options):
            await at(page)
        await expect(page.locator("#unseen")).to_contain_text("Could not see")
        async with gateway(replace(options)):
            await work.submit("meanwhile")
            await expect(page.get_by_text("live", exact=True)).to_be_visible()
            line = page.get_by_role("row").filter(has=page.get_by_role("link", name=str(work.queue), exact=True))
            await expect(line).to_contain_text("1 normal")


async def test_where_there_is_no_queue_it_says_what_to_do(browser: Page, tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        url = f"valkey://127.0.0.1:{server.port}"
        options = GatewayOptions(url, "127.0.0.1", 0, "--port", "test", None, None, tmp_path / "files", 1)
        async with gateway(options) as here, showing(browser, here.url) as page:
            await at(page)
            await expect(page.get_by_role("main")).to_contain_text("There is no queue yet that you may see")
