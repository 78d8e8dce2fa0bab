"""The console of a gateway that asks for keys: it asks for one, and shows what that key may see and do."""

import json

from playwright.async_api import Page, expect

from taskfleet.core.task import NewTask
from tests.console.conftest import KEYS, House, go, showing
from tests.gateway.test_keys import write
from tests.support.work import Work
from tests.support.workerprocess import prompts


async def enter(page: Page, key: str) -> None:
    await go(page)
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Use it").click()


async def theirs(work: Work) -> None:
    (task,) = prompts("theirs")
    await work.store.submit(work.queue, [NewTask(task.id, task.model, task.body, tenant="two")])


async def test_it_asks_for_a_key_and_keeps_it_for_this_tab_only(browser: Page, house: House, work: Work) -> None:
    async with showing(browser, house.locked) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await enter(page, "key-of-nobody")
        await expect(page.get_by_role("alert").filter(has_text="not known here")).to_be_visible()
        await page.get_by_label("Key").fill("key-of-boss")
        await page.get_by_role("button", name="Use it").click()
        await expect(page.get_by_role("link", name=str(work.queue), exact=True)).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        kept = await page.evaluate("[JSON.stringify(localStorage), document.cookie]")
        assert "key-of-boss" not in json.dumps(kept)
        assert not any("key-of" in url for url in asked), "never in an address"
        await page.get_by_role("button", name="Forget key").click()
        await expect(page.get_by_label("Key")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0


async def test_another_tenants_task_is_not_there_and_what_a_key_may_not_do_has_no_button(
    browser: Page, house: House, work: Work
) -> None:
    await theirs(work)
    (own,) = prompts("own")
    await work.store.submit(work.queue, [NewTask(own.id, own.model, own.body, tenant="one")])
    async with showing(browser, house.locked) as page:
        await enter(page, "key-of-reader")
        await expect(page.get_by_text("tenant one")).to_be_visible()
        await expect(page.get_by_role("link", name="Submit")).to_have_count(0)
        await go(page, f"queues/{work.queue}")
        await expect(page.get_by_role("heading", name="Pools and endpoints")).to_be_visible()
        await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        await go(page, f"tasks/own?queue={work.queue}")
        await expect(page.get_by_role("main")).to_contain_text("before it")
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        await go(page, f"tasks/theirs?queue={work.queue}")
        await expect(page.get_by_role("main")).to_contain_text("there is no task 'theirs' here")
        await go(page, f"failures?queue={work.queue}")
        await expect(page.get_by_role("main")).to_contain_text("No task of")


async def test_a_key_that_may_only_submit_is_told_so_and_submits(browser: Page, house: House, work: Work) -> None:
    async with showing(browser, house.locked) as page:
        await enter(page, "key-of-sender")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Submit a prompt")
        await expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_text(["Submit"])


async def test_a_key_that_is_taken_away_ends_what_is_seen(browser: Page, house: House, work: Work) -> None:
    async with showing(browser, house.locked) as page:
        await enter(page, "key-of-one")
        await expect(page.get_by_role("link", name=str(work.queue), exact=True)).to_be_visible()
        write(house.keys, *(key for key in KEYS if key["name"] != "one"))
        try:
            await expect(page.get_by_role("heading", level=1)).to_have_text("API key")
            await expect(page.get_by_text(str(work.queue))).to_have_count(0)
        finally:
            write(house.keys, *KEYS)
