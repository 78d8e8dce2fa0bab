"""How many calls run at once: halved by a refusal, lowered by lateness alone, raised by answers, else steady."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.concurrency import AdaptiveConcurrency
from taskfleet.core.task import Usage

SHORT, LONG, UNCOUNTED = Usage(50, 20), Usage(50, 2000), Usage()


class Server:
    """Answers in rounds: everything that may run starts together and ends together."""

    def __init__(self, ceiling: int) -> None:
        self.adaptive = AdaptiveConcurrency(ceiling)
        self.now = 0.0

    def rounds(self, number: int, seconds: float, usage: Usage = SHORT) -> list[int]:
        """The limit after each round of answers."""
        limits = []
        for _ in range(number):
            started, self.now = self.now, self.now + seconds
            for _ in range(self.adaptive.limit):
                self.adaptive.answered(started, self.now, usage)
            limits.append(self.adaptive.limit)
        return limits

    def refuses(self, calls: int, seconds: float = 0.1) -> int:
        started, self.now = self.now, self.now + seconds
        for _ in range(calls):
            self.adaptive.refused(started, self.now)
        return self.adaptive.limit


def test_it_begins_at_the_ceiling_and_stays_there_while_all_is_well() -> None:
    assert set(Server(100).rounds(200, 0.02)) == {100}


@pytest.mark.parametrize(("ceiling", "after"), [(100, 50), (4, 2), (3, 1), (1, 1)])
def test_a_refusal_halves_it(ceiling: int, after: int) -> None:
    assert Server(ceiling).refuses(1) == after


def test_a_round_trip_full_of_refusals_is_one_refusal() -> None:
    assert Server(64).refuses(64) == 32


def test_refusals_in_later_round_trips_halve_it_again_down_to_one() -> None:
    server = Server(64)
    assert [server.refuses(64) for _ in range(8)] == [32, 16, 8, 4, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("ceiling", "limits"), [(32, [18, 20, 22, 24, 26, 28, 30, 32, 32]), (4, [3, 4, 4]), (2, [2, 2]), (1, [1, 1])]
)
def test_each_round_trip_of_answers_raises_it_by_one_step_up_to_the_ceiling(ceiling: int, limits: list[int]) -> None:
    server = Server(ceiling)
    server.refuses(1)
    assert server.rounds(len(limits), 1.0) == limits


def test_answers_to_calls_from_before_the_refusal_raise_nothing() -> None:
    server = Server(32)
    started = server.now
    server.refuses(1)
    for _ in range(32):
        server.adaptive.answered(started, server.now, SHORT)
    assert server.adaptive.limit == 16


def test_a_server_that_queues_is_given_less_at_once_and_more_again_when_it_is_fast() -> None:
    server = Server(50)
    server.rounds(5, 0.5)
    slow = server.rounds(6, 10.0)
    assert slow[0] == 40
    assert slow == sorted(slow, reverse=True)
    assert slow[-1] <= 20
    assert server.rounds(30, 0.5)[-1] == 50


@pytest.mark.parametrize(("usual", "seconds"), [(0.02, 1.0), (0.45, 5.4), (10.0, 49.0)])
def test_what_is_a_few_times_or_a_few_seconds_slower_is_left_alone(usual: float, seconds: float) -> None:
    server = Server(50)
    server.rounds(5, usual)
    assert set(server.rounds(20, seconds)) == {50}


def test_a_stub_of_20_ms_on_a_machine_that_stumbles_is_left_alone() -> None:
    server, dice = Server(100), random.Random(7)
    server.rounds(5, 0.02)
    assert {limit for _ in range(200) for limit in server.rounds(1, 0.02 * dice.choice((1, 1, 2, 5, 30)))} == {100}


def test_long_answers_are_not_late_ones() -> None:
    server = Server(50)
    server.rounds(5, 0.2, SHORT)
    assert set(server.rounds(20, 40.0, LONG)) == {50}
    assert set(server.rounds(20, 0.2, SHORT)) == {50}


def test_where_tokens_are_not_counted_time_tells_nothing() -> None:
    server = Server(50)
    server.rounds(5, 0.2, UNCOUNTED)
    assert set(server.rounds(20, 40.0, UNCOUNTED)) == {50}


def test_a_few_late_answers_among_many_are_left_alone() -> None:
    server = Server(20)
    server.rounds(5, 0.2)
    for _ in range(10):
        started, server.now = server.now, server.now + 10.0
        for number in range(20):
            server.adaptive.answered(started if number < 15 else server.now - 0.2, server.now, SHORT)
    assert server.adaptive.limit == 20


def test_a_server_that_became_slower_for_good_is_taken_as_it_is() -> None:
    server = Server(50)
    server.rounds(5, 0.5)
    assert server.rounds(2000, 8.0)[-1] == 50


def test_timeouts_are_late_answers_and_one_of_them_is_nothing() -> None:
    server = Server(10)
    server.adaptive.timed_out(0.0, 120.0)
    assert server.adaptive.limit == 10
    for _ in range(9):
        server.adaptive.timed_out(0.0, 120.0)
    assert server.adaptive.limit == 8


@given(
    st.integers(1, 200),
    st.lists(
        st.tuples(st.sampled_from(["answered", "refused", "timed_out"]), st.floats(0, 200), st.floats(0, 5)),
        max_size=200,
    ),
)
def test_it_never_leaves_its_bounds(ceiling: int, steps: list[tuple[str, float, float]]) -> None:
    adaptive, now = AdaptiveConcurrency(ceiling), 0.0
    for kind, took, pause in steps:
        now += pause
        more = (SHORT,) if kind == "answered" else ()
        getattr(adaptive, kind)(now - took, now, *more)
        assert 1 <= adaptive.limit <= ceiling
