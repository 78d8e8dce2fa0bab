"""The breaker: when a worker may claim after its endpoint was in trouble."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.worker.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker


def opened(now: float = 100.0, after: float | None = None) -> Breaker:
    breaker = Breaker()
    breaker.started("a")
    breaker.failed("a", "refused", now, after)
    return breaker


def test_closed_lets_every_free_slot_claim() -> None:
    assert Breaker().allows(8, 0.0) == 8
    assert Breaker().seconds_until_probe(0.0) is None


def test_open_claims_nothing_until_its_pause_is_over_and_then_one() -> None:
    breaker = opened(100.0)
    assert breaker.allows(8, 100.0) == 0
    assert breaker.seconds_until_probe(100.0) == FIRST_PAUSE
    assert breaker.allows(8, 100.0 + FIRST_PAUSE) == 1
    assert breaker.allows(0, 100.0 + FIRST_PAUSE) == 0


def test_only_one_call_decides() -> None:
    breaker = opened(100.0)
    breaker.started("b")
    assert breaker.allows(8, 200.0) == 0
    assert breaker.seconds_until_probe(200.0) is None


def test_a_success_closes_it_and_forgets_the_past() -> None:
    breaker = opened(100.0)
    breaker.worked()
    assert breaker.trouble == ""
    assert breaker.allows(8, 100.0) == 8
    breaker.failed("c", "again", 200.0)
    assert breaker.seconds_until_probe(200.0) == FIRST_PAUSE


def test_each_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(0.0), 0.0, []
    for number in range(10):
        pauses.append(breaker.seconds_until_probe(now))
        now += pauses[-1] or 0.0
        breaker.started(f"probe-{number}")
        breaker.failed(f"probe-{number}", "still refused", now)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert max(pauses) == LONGEST_PAUSE


def test_calls_that_were_under_way_when_it_opened_do_not_make_the_pause_longer() -> None:
    breaker = opened(100.0)
    for other in "bcd":
        breaker.failed(other, "refused", 100.1)
    assert breaker.seconds_until_probe(100.1) == pytest.approx(FIRST_PAUSE - 0.1)
    breaker.started("probe")
    breaker.failed("probe", "refused", 100.5)
    assert breaker.seconds_until_probe(100.5) == 2 * FIRST_PAUSE


def test_the_server_s_own_retry_after_counts_in_place_of_the_pause() -> None:
    assert opened(100.0, after=7.0).seconds_until_probe(100.0) == 7.0
    assert opened(100.0, after=0.0).seconds_until_probe(100.0) == FIRST_PAUSE


def test_a_later_retry_after_of_a_call_under_way_moves_the_end() -> None:
    breaker = opened(100.0, after=2.0)
    breaker.failed("b", "slow down", 101.0, 5.0)
    assert breaker.seconds_until_probe(101.0) == 5.0


def test_a_probe_that_told_nothing_leaves_the_decision_to_another() -> None:
    breaker = opened(100.0)
    breaker.started("b")
    breaker.undecided("b")
    assert breaker.allows(8, 200.0) == 1


@given(
    st.lists(st.tuples(st.sampled_from(["start", "work", "fail", "undecided"]), st.integers(0, 3), st.floats(0, 50)))
)
def test_whatever_happens_it_never_stays_open_for_good(events: list[tuple[str, int, float]]) -> None:
    breaker, now, running = Breaker(), 0.0, set()
    for kind, number, seconds in events:
        now, task = now + seconds, str(number)
        if kind == "start" and task not in running and breaker.allows(4 - len(running), now):
            running.add(task)
            breaker.started(task)
        elif task in running and kind != "start":
            running.discard(task)
            if kind == "work":
                breaker.worked()
            elif kind == "fail":
                breaker.failed(task, "trouble", now)
            else:
                breaker.undecided(task)
    for task in sorted(running):  # the rest end, whatever they say
        breaker.failed(task, "trouble", now)
    assert breaker.allows(4, now + LONGEST_PAUSE) >= 1
