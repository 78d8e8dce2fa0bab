"""Queues on the console: what waits, why, who serves it; live, and the same words as ``taskfleet explain``."""

from playwright.async_api import Page, expect

from taskfleet.core.explanation import Scene, queue_lines
from taskfleet.core.task import NewTask, Priority
from tests.console.conftest import House, at
from tests.controller.control import controlling, task_queue, worker_pool
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import prompts


async def test_what_waits_is_shown_by_priority_and_changes_by_itself(page: Page, work: Work) -> None:
    await at(page)
    line = page.get_by_role("row").filter(has=page.get_by_role("link", name=str(work.queue), exact=True))
    await expect(line).to_contain_text("idle")
    low = [NewTask(task.id, task.model, task.body, Priority.LOW) for task in prompts("a", "b")]
    await work.store.submit(work.queue, [*low, *prompts("c")])
    await expect(line).to_contain_text("stands still")
    await expect(line).to_contain_text("1 normal, 2 low")
    await expect(line).to_contain_text("nobody knows")
    await work.store.cancel(work.queue, ["a", "b", "c"])
    await expect(line).to_contain_text("idle")
    await work.store.drop_queue(work.queue)
    await expect(line).to_have_count(0)


async def test_why_it_stands_still_is_said_as_explain_says_it_with_pools_and_their_limits(
    page: Page, house: House, work: Work
) -> None:
    name, limited = work.queue.name, {"rateLimit": {"requestsPerMinute": 90}}
    async with controlling(house.store_url) as control:
        control.reconciler.set_queue(task_queue(name, models="stub"))
        control.reconciler.set_pool(
            worker_pool(name, "http://127.0.0.1:9/v1", models="stub", endpoints={"llm": limited})
        )
        await work.submit("a")

        async def explained() -> list[str]:
            stats = await house.store.stats(work.queue)
            scene = Scene(stats, await house.store.workers(work.queue), await house.store.chronicle(work.queue))
            return [line for line in queue_lines(name, scene) if "connection refused" in line]

        lines = await eventually(explained, "the controller to say why", timeout=20)
        await at(page, f"queues/{work.queue}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(str(work.queue))
        for line in lines:
            await expect(page.get_by_role("main")).to_contain_text(line.strip())
        pools = page.get_by_role("region", name="Pools and endpoints")
        await expect(pools).to_contain_text("not healthy")
        await expect(pools).to_contain_text("90 requests/min")


async def test_a_queue_is_paused_and_resumed(page: Page, work: Work) -> None:
    await at(page, f"queues/{work.queue}")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("status")).to_contain_text("is paused: no task is started")
    await expect(page.get_by_text("someone resumes it", exact=True)).to_be_visible()
    stats = await work.store.stats(work.queue)
    assert stats is not None
    assert stats.paused
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    stats = await work.store.stats(work.queue)
    assert stats is not None
    assert not stats.paused


async def test_a_queue_that_is_not_there_is_said_so(page: Page, work: Work) -> None:
    await at(page, "queues/test/no-such")
    await expect(page.get_by_role("main")).to_contain_text("there is no queue test/no-such")
