"""The console below another path, behind a proxy that rewrites."""

from playwright.async_api import Page, expect

from tests.console.conftest import House, go, showing
from tests.support.prefixproxy import below
from tests.support.work import Work


async def test_it_works_below_any_path(browser: Page, house: House, work: Work) -> None:
    async with below("/team/llm", house.url) as url, showing(browser, url) as page:
        await page.goto(f"{url}/console")
        await expect(page).to_have_url(f"{url}/console/")
        await expect(page.get_by_role("link", name=str(work.queue), exact=True)).to_be_visible()
        await go(page, f"submit?queue={work.queue}")
        await page.get_by_label("Prompt").fill("from below")
        await page.get_by_role("button", name="Submit").click()
        await expect(page.get_by_role("main")).to_contain_text("from below")
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
