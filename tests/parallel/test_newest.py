"""What a condition sees of results is bounded, in number and in memory."""

import pytest

from taskfleet.core.parallel.rules import RunState
from taskfleet.parallel import newest
from taskfleet.parallel.newest import MOST, MOST_BYTES, Newest
from tests.parallel.conftest import Ask, Bench


def test_the_newest_are_kept_as_long_as_they_are_not_too_many() -> None:
    kept: Newest[int] = Newest()
    for number in range(MOST + 5):
        kept.add(number, 1)
    assert [*kept] == [*range(5, MOST + 5)]


def test_of_long_ones_fewer_are_kept_and_the_last_one_always() -> None:
    kept: Newest[str] = Newest()
    for name, size in (("a", MOST_BYTES // 2), ("b", MOST_BYTES // 2), ("c", 1)):
        kept.add(name, size)
    assert [*kept] == ["b", "c"]
    kept.add("d", 2 * MOST_BYTES)
    assert [*kept] == ["d"]


async def test_results_that_take_too_much_memory_are_only_counted(
    bench: Bench, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "MOST_BYTES", 1000)
    step = {"name": "a", "action": ask("{{ $item }} " + "long " * 40)}
    record = await bench.run(
        on="{{ range(20) | list }}", max_parallel=2, action_loop=[step], until="{{ $results | length > 3 }}"
    )
    assert (record.state, record.reason, record.tally.done) == (RunState.COMPLETED, "", 20)
