"""What prompts, answers and errors contain is shown, and never runs, leads anywhere or turns the page round."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from playwright.async_api import Page, expect

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, TaskError
from tests.console.conftest import at
from tests.support.work import Work

HOSTILE = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "<svg onload='window.ran = 1'><animate onbegin='window.ran = 1'></svg>",
    "[click](javascript:window.ran=1) <a href='javascript:window.ran=1'>here</a>",
    "</pre></main><iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "{{constructor.constructor('window.ran = 1')()}} ${window.ran = 1}",
    "<base href='http://elsewhere.invalid/'><form action='http://elsewhere.invalid/'><button>go</button></form>",
)
TURNED = "pay \u202egnp.exe\u202c now \u001b[31mred\u001b[0m \u0000 \u200b \U0001f600"
HUGE = "wide " * 60_000
EVERYTHING = "\n".join((*HOSTILE, TURNED))


@asynccontextmanager
async def nothing_happens(page: Page) -> AsyncIterator[None]:
    """Nothing ran, nothing was asked of others, and there is no element that the page does not make itself."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = page.url.partition("/console/")[0]
    yield
    assert await page.evaluate("window.ran") is None
    made = "main script, main iframe, main img, main base, main animate, main a[href^='javascript'], main form[action]"
    assert await page.locator(made).count() == 0
    assert [url for url in asked if not url.startswith((before, "http://127.0.0.1"))] == []


@pytest.fixture
def hostile_body() -> bytes:
    messages = [
        {"role": "system", "content": EVERYTHING},
        {"role": HOSTILE[0], "content": [{"type": "text", "text": EVERYTHING}, {"type": HOSTILE[1], "x": HOSTILE[2]}]},
        {"role": "user", "content": HUGE},
    ]
    return orjson.dumps({"messages": messages, "parameters": {HOSTILE[0]: HOSTILE[1]}})


async def test_a_hostile_prompt_is_a_text(page: Page, work: Work, hostile_body: bytes) -> None:
    await work.store.submit(work.queue, [NewTask("evil", "stub", hostile_body, session=None)])
    await at(page, f"tasks/evil?queue={work.queue}")
    async with nothing_happens(page):
        main = page.get_by_role("main")
        for words in HOSTILE:
            await expect(main).to_contain_text(words)
        await expect(main).to_contain_text(
            "pay U+202Egnp.exeU+202C now U+001B[31mredU+001B[0m U+0000 U+200B \U0001f600"
        )
        shown = await main.inner_text()
        assert not {"\u202e", "\u001b", "\u0000"} & {*shown}
        assert len(shown) < 60_000, "a huge text is not laid out whole"
        await page.get_by_role("button", name="Show more of it").click()
        await expect(main).not_to_contain_text(f"{len(HUGE) - 20_000:,} characters are not shown")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nor wider than the page"


async def test_a_hostile_answer_is_a_text(page: Page, work: Work) -> None:
    await work.submit("asks")
    (lease,) = (await work.store.claim(work.queue, "w", ["stub"], 1)).tasks
    output = {"content": EVERYTHING, "tool_calls": [{"function": {"name": HOSTILE[0], "arguments": HOSTILE[1]}}]}
    await work.store.settle(work.queue, [Settlement(lease.id, lease.fence, Verdict.COMPLETE, output=output)])
    await at(page, f"tasks/asks?queue={work.queue}")
    async with nothing_happens(page):
        for words in HOSTILE:
            await expect(page.get_by_role("main")).to_contain_text(words)


async def test_a_hostile_error_is_a_text_in_every_list(page: Page, work: Work) -> None:
    await work.submit("fails")
    (lease,) = (await work.store.claim(work.queue, "w", ["stub"], 1)).tasks
    error = TaskError(HOSTILE[1], EVERYTHING)
    await work.store.settle(work.queue, [Settlement(lease.id, lease.fence, Verdict.FAIL, error=error)])
    for place in (
        f"failures?queue={work.queue}",
        f"tasks?queue={work.queue}&status=failed",
        f"tasks/fails?queue={work.queue}",
    ):
        await at(page, place)
        async with nothing_happens(page):
            await expect(page.get_by_role("main")).to_contain_text(HOSTILE[0])


async def test_an_address_of_the_page_can_be_anything(page: Page, work: Work) -> None:
    for place in (
        f"tasks/{HOSTILE[0]}",
        "queues/%E0%A4%A",
        f"failures?queue={HOSTILE[1]}",
        "nowhere",
        "tasks?queue=../x",
    ):
        await at(page, place)
        async with nothing_happens(page):
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
