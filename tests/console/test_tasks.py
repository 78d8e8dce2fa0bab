"""Tasks on the console: found, looked at with prompt, answer and attempts, submitted, cancelled and tried again."""

from playwright.async_api import Page, expect

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import TaskError
from tests.console.conftest import House, at
from tests.support.waiting import eventually
from tests.support.work import Work


async def test_a_prompt_is_submitted_and_its_answer_comes_by_itself(
    page: Page, house: House, work: Work, worker: None
) -> None:
    house.model.hold()
    await at(page, f"submit?queue={work.queue}")
    await page.get_by_label("Prompt").fill("Name three colours.")
    await page.get_by_label("Priority").select_option("high")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Task")
    await expect(page.get_by_role("main")).to_contain_text("Name three colours.")
    await eventually(lambda: house.model.inflight == 1, "the call")
    await expect(page.get_by_role("main")).to_contain_text("it runs on")
    house.model.let_go()
    await expect(page.get_by_role("main")).to_contain_text("echo: Name three colours.")
    await expect(page.get_by_role("main")).to_contain_text("completed after")
    await expect(page.get_by_role("main")).to_contain_text("high")


async def test_what_failed_shows_each_attempt_and_is_tried_again(page: Page, work: Work) -> None:
    await work.submit("unlucky")
    for verdict in (Verdict.RETRY, Verdict.RETRY, Verdict.FAIL):
        (lease,) = (await work.store.claim(work.queue, "worker-1", ["stub"], 1)).tasks
        error = TaskError("server_error", f"attempt {lease.attempt} was refused")
        await work.store.settle(work.queue, [Settlement(lease.id, lease.fence, verdict, error=error, endpoint="llm")])
    await at(page, f"tasks/unlucky?queue={work.queue}")
    attempts = page.get_by_role("listitem").filter(has_text="Attempt")
    await expect(attempts).to_have_count(2)
    await expect(attempts.nth(1)).to_contain_text("server_error: attempt 2 was refused")
    await expect(page.get_by_role("main")).to_contain_text("server_error: attempt 3 was refused")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status")).to_contain_text("task unlucky waits again")
    await expect(page.get_by_role("main")).to_contain_text("before it")


async def test_a_task_that_waits_is_cancelled_after_a_question(page: Page, work: Work) -> None:
    await work.submit("waits")
    await at(page, f"tasks/waits?queue={work.queue}")
    await expect(page.get_by_role("main")).to_contain_text("about 0 tasks before it")
    await page.get_by_role("button", name="Cancel").click()
    question = page.get_by_role("dialog")
    await expect(question).to_contain_text("Cancel task waits?")
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    assert (await work.states(["waits"]))["pending"] == 1
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Cancel the task").click()
    await expect(page.get_by_role("status")).to_contain_text("task waits: cancelled")
    await expect(page.get_by_text("cancelled", exact=True).first).to_be_visible()


async def test_tasks_are_found_by_filters_and_by_id(page: Page, work: Work) -> None:
    await work.submit("known", "gone")
    await work.store.cancel(work.queue, ["gone"])
    await at(page, f"tasks?queue={work.queue}")
    tasks = page.get_by_role("region", name="Tasks")
    await expect(tasks.get_by_role("rowheader")).to_have_count(2)
    await page.get_by_label("Status").select_option("cancelled")
    await page.get_by_role("button", name="Look").click()
    await expect(tasks.get_by_role("rowheader")).to_have_text(["gone"])
    await page.get_by_label("Session").fill("none-of-it")
    await page.get_by_role("button", name="Look").click()
    await expect(page.get_by_role("main")).to_contain_text("No task is as you look for.")
    await page.get_by_label("Id").fill("known")
    await page.get_by_role("button", name="Look").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Task known")
