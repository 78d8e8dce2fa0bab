"""The console for those who use no mouse, who hear it, and who need contrast."""

from playwright.async_api import Locator, Page, expect

from taskfleet.core.task import QueueKey
from tests.console.conftest import at
from tests.support.work import Work
from tests.support.workerprocess import quick_policy

# Colours of texts on what they stand on, and of marks beside it; in both themes.
TEXTS = [
    (ink, ground) for ink in ("ink", "quiet", "main", "good", "bad", "held") for ground in ("ground", "sheet", "raised")
]
TEXTS += [("main-ink", "main"), ("ground", "bad"), ("ground", "ink")]
CONTRAST = """([ink, ground]) => {
    const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = (name) => {
        paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
        paint.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((each) => {
            const share = each / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [low, high] = [light(ink), light(ground)].sort((one, other) => one - other);
    return (high + 0.05) / (low + 0.05);
}"""


async def test_every_text_has_the_contrast_of_aa_in_light_and_in_dark(page: Page) -> None:
    await at(page)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found = {pair: await page.evaluate(CONTRAST, list(pair)) for pair in TEXTS}
        assert {pair: contrast for pair, contrast in found.items() if contrast < 4.5} == {}, scheme


async def test_the_choice_of_colours_is_kept_and_is_stronger_than_the_system(page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await at(page)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_label("Colours").select_option("dark")
    assert await page.evaluate(ground) != light
    await page.reload()
    await expect(page.get_by_label("Colours")).to_have_value("dark")
    assert await page.evaluate(ground) != light


async def test_one_goes_through_it_by_keyboard(page: Page, work: Work) -> None:
    await at(page)
    await expect(page.get_by_role("link", name=str(work.queue), exact=True)).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    reached = []
    for _ in range(60):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.textContent"))
        if reached[-1] == str(work.queue):
            break
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert reached[-1] == str(work.queue)
    assert await page.evaluate(outline) != "none", "where one is can be seen"
    await page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text(str(work.queue))
    await expect(heading).to_be_focused()
    await expect(page).to_have_title(f"{work.queue} · Taskfleet")


async def test_a_prompt_is_submitted_and_its_task_cancelled_by_keyboard(page: Page, work: Work) -> None:
    await at(page, f"submit?queue={work.queue}")
    await tab_to(page, page.get_by_label("Prompt"))
    await page.keyboard.type("Name three colours.")
    await tab_to(page, page.get_by_label("Priority"))
    await page.keyboard.type("high")
    await tab_to(page, page.get_by_role("button", name="Submit"))
    await page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_contain_text("Task")
    await expect(heading).to_be_focused()
    await expect(page.get_by_role("main")).to_contain_text("high")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    await expect(cancel).to_be_visible()
    await tab_to(page, cancel)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(cancel).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await tab_to(page, page.get_by_role("button", name="Cancel the task"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text(": cancelled")


async def test_a_question_right_behind_another_has_its_own_answer(page: Page, work: Work) -> None:
    """Who closes a dialog hears of that a moment later, when the next one may be open."""
    await work.submit("asked-twice")
    await at(page, f"tasks/asked-twice?queue={work.queue}")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    await cancel.click()
    await cancel.evaluate("each => { document.getElementById('sure').close(); each.click(); }")
    await page.get_by_role("button", name="Cancel the task").click()
    await expect(page.get_by_role("status")).to_contain_text("task asked-twice: cancelled")


async def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(60):
        if await wanted.evaluate("each => each === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} cannot be reached by keyboard")


async def test_what_changes_takes_nobodys_focus_away(page: Page, work: Work) -> None:
    await at(page)
    link = page.get_by_role("link", name=str(work.queue), exact=True)
    await link.focus()
    line = page.get_by_role("row").filter(has=link)
    await work.submit("a")
    await expect(line).to_contain_text("1 normal")
    await expect(link).to_be_focused()


async def test_what_goes_away_or_moves_takes_nobodys_focus_away(page: Page, work: Work) -> None:
    first = QueueKey(work.queue.namespace, f"a-{work.queue.name}")  # in front of it
    await work.store.put_policy(first, quick_policy())
    await at(page)
    link = page.get_by_role("link", name=str(work.queue), exact=True)
    gone = page.get_by_role("link", name=str(first), exact=True)
    await expect(gone).to_be_visible()
    await link.focus()
    await work.store.drop_queue(first)
    await expect(gone).to_have_count(0)
    await expect(link).to_be_focused()
    moved = """async () => {
        const { h, render } = await import(new URL("dom.js", location.href));
        const box = document.body.appendChild(document.createElement("div"));
        const buttons = (...keys) => keys.map((key) => h("button", { key }, key));
        render(box, buttons("a", "b", "c"));
        box.lastChild.focus();
        render(box, buttons("c", "b", "a"));
        const active = document.activeElement.textContent;
        box.remove();
        return active;
    }"""
    assert await page.evaluate(moved) == "c"


async def test_it_has_landmarks_one_heading_of_the_first_level_and_names_for_all_that_acts(
    page: Page, work: Work
) -> None:
    await work.submit("a")
    for place in ("queues", f"queues/{work.queue}", f"tasks/a?queue={work.queue}", "batches", "submit", "failures"):
        await at(page, place)
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
        for landmark in ("banner", "main"):
            await expect(page.get_by_role(landmark)).to_have_count(1)
        await expect(page.get_by_role("navigation", name="Pages")).to_have_count(1)
        nameless = """() => [...document.querySelectorAll("button, a, input, select, textarea, progress")]
            .filter((each) => each.offsetParent && !(each.textContent.trim() || each.ariaLabel || each.labels?.length))
            .map((each) => each.outerHTML)"""
        assert await page.evaluate(nameless) == [], place


async def test_a_narrow_screen_scrolls_only_its_tables_sideways(page: Page, work: Work) -> None:
    await work.submit("a")
    await page.set_viewport_size({"width": 360, "height": 720})
    for place in ("queues", f"queues/{work.queue}", "tasks", "tasks/a", "failures", "batches", "submit"):
        await at(page, f"{place}?queue={work.queue}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, place
