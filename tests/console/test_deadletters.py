"""Dead letters on the console: what failed of what, and brought back by id, by error, or all of them."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import TaskError
from tests.console.conftest import at
from tests.support.work import Work


@pytest.fixture
def letters(work: Work, runner: asyncio.Runner) -> Work:
    """Three that failed of two errors."""

    async def fail() -> None:
        await work.submit("a", "b", "c")
        claim = await work.store.claim(work.queue, "w", ["stub"], 3)
        codes = {"a": "timeout", "b": "timeout", "c": "bad_request"}
        await work.store.settle(
            work.queue,
            [
                Settlement(task.id, task.fence, Verdict.FAIL, error=TaskError(codes[task.id], f"because of {task.id}"))
                for task in claim.tasks
            ],
        )

    runner.run(fail())
    return work


async def waiting(work: Work) -> set[str]:
    return {view.id for view in await work.views(["a", "b", "c"]) if view.state.value == "pending"}


async def bring_back(page: Page, button: str, *, asked: str) -> None:
    await page.get_by_role("button", name=button, exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text(asked)
    await page.get_by_role("dialog").get_by_role("button", name="Bring back").click()


async def test_they_are_counted_by_error_and_one_error_is_brought_back(page: Page, letters: Work) -> None:
    await at(page, f"failures?queue={letters.queue}")
    by_error = page.get_by_role("region", name="By error")
    await expect(by_error.get_by_role("row")).to_have_count(3)
    await expect(by_error).to_contain_text("because of b")
    await bring_back(page, "Bring back those that failed with timeout", asked="2 tasks that failed with timeout")
    await expect(page.get_by_role("status")).to_contain_text(f"2 tasks of {letters.queue} brought back")
    await expect(by_error.get_by_role("row")).to_have_count(2)
    assert await waiting(letters) == {"a", "b"}


async def test_chosen_ones_are_brought_back(page: Page, letters: Work) -> None:
    await at(page, f"failures?queue={letters.queue}")
    await page.get_by_label("Choose c").check()
    await bring_back(page, "Bring 1 chosen back", asked="1 chosen task")
    await expect(page.get_by_role("status")).to_contain_text("1 task of")
    assert await waiting(letters) == {"c"}


async def test_all_are_brought_back(page: Page, letters: Work) -> None:
    await at(page, f"failures?queue={letters.queue}")
    await bring_back(page, "Bring all 3 back", asked="all 3 failed tasks")
    await expect(page.get_by_role("main")).to_contain_text("has failed")
    assert await waiting(letters) == {"a", "b", "c"}
