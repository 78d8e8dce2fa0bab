"""What a model that judges is told: all of it while that is little, and never more than there is room for."""

from typing import Any

from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.parallel.tally import Tally
from taskfleet.parallel.digest import MAX_DIGEST, of_item, of_run
from taskfleet.parallel.stepresult import StepResult


def result(output: Any = None, error: str | None = None, *, skipped: bool = False) -> StepResult:
    return StepResult(ok=error is None, output=output, error=error, skipped=skipped, attempts=1, seconds=0.1)


def line(item: Any, **steps: StepResult) -> dict[str, Any]:
    return {"item": item, "status": "completed", "steps": steps}


def tally(completed: int, causes: tuple[str, ...] = ()) -> Tally:
    found = Tally()
    for _ in range(completed):
        found.item_ended(ItemStatus.COMPLETED, "")
    for cause in causes:
        found.item_ended(ItemStatus.FAILED, cause)
    return found


def test_of_a_run_the_counts_the_causes_and_the_items_are_told() -> None:
    told = of_run(
        tally(1, ("status 404",) * 2), 5, 4, [line("a", get=result({"status": 200}), more=result(skipped=True))]
    )
    assert told.splitlines() == [
        "3 of 5 items have ended (1 completed, 2 failed, 0 cancelled); 1 are on their way.",
        "2 failed since: status 404",
        '{"item":"a","status":"completed","steps":{"get":{"output":{"status":200}},"more":{"skipped":true}}}',
    ]


def test_of_many_items_the_newest_are_told_and_the_others_counted() -> None:
    lines = [line(f"item {n}", get=result("x" * 5000)) for n in range(10_000)]
    told = of_run(tally(10_000), None, 10_000, lines)
    assert len(told) <= MAX_DIGEST + 100
    assert '"item 9999"' in told
    shown = told.count('"status"')
    assert f"({10_000 - shown} earlier ones are only counted.)" in told
    assert told.startswith("10000 items have ended")


def test_an_item_of_any_size_is_told_within_bounds() -> None:
    told = of_item("x" * 100_000, {"get": result(["y" * 100_000]), "bad": result(error="z" * 100_000)})
    assert len(told) <= 4000
    assert of_item(1, {"get": result("short")}) == '{"item":1,"steps":{"get":{"ok":true,"output":"short"}}}'
