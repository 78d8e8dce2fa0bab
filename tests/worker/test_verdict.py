"""The verdict on an attempt, as a table and as properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.retry import RetryPolicy
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import TaskError
from taskfleet.core.verdict import OTHERS_FIRST_SECONDS, Ending, decide

POLICY = RetryPolicy(max_attempts=3, initial_delay=1.0, max_delay=60.0, multiplier=2.0, jitter=0.2)
ERROR = TaskError("x", "words", 500)
MIDDLE = 0.5  # of the jitter: none

TABLE = [
    # outcome, attempt, works for others, verdict, delay
    (Ok("text"), 1, False, Verdict.COMPLETE, 0.0),
    (Ok("text"), 3, True, Verdict.COMPLETE, 0.0),
    (Fatal(ERROR), 1, False, Verdict.FAIL, 0.0),
    (Fatal(ERROR), 1, True, Verdict.FAIL, 0.0),
    (Retry(ERROR), 1, False, Verdict.RETRY, 1.0),
    (Retry(ERROR), 2, False, Verdict.RETRY, 2.0),
    (Retry(ERROR, 9.0), 1, False, Verdict.RETRY, 9.0),
    (Retry(ERROR), 3, False, Verdict.FAIL, 0.0),
    (RateLimited(ERROR), 1, False, Verdict.RELEASE, 1.0),
    (RateLimited(ERROR, 7.5), 3, True, Verdict.RELEASE, 7.5),
    (EndpointDown(ERROR), 1, False, Verdict.RELEASE, 1.0),
    (EndpointDown(ERROR), 3, False, Verdict.RELEASE, 4.0),
    (EndpointDown(ERROR, 7.5), 3, False, Verdict.RELEASE, 7.5),
    (EndpointDown(ERROR, 0.1), 3, False, Verdict.RELEASE, OTHERS_FIRST_SECONDS),
    (EndpointDown(ERROR), 1, True, Verdict.RETRY, 1.0),
    (EndpointDown(ERROR), 3, True, Verdict.FAIL, 0.0),
]


@pytest.mark.parametrize(("outcome", "attempt", "works", "verdict", "delay"), TABLE)
def test_verdict(outcome: Outcome, attempt: int, works: bool, verdict: Verdict, delay: float) -> None:
    ending = decide(outcome, attempt, POLICY, MIDDLE, endpoint_works_for_others=works)
    assert ending == Ending(verdict, delay, None if isinstance(outcome, Ok) else ERROR)


@pytest.mark.parametrize("works", [False, True])
def test_a_task_that_met_endpoint_trouble_comes_back_after_the_endpoint_was_tried_with_another(works: bool) -> None:
    ending = decide(EndpointDown(ERROR), 1, POLICY, MIDDLE, endpoint_works_for_others=works, endpoint_pause=30.0)
    assert ending.delay > 30.0


errors = st.builds(TaskError, st.just("code"), st.just("message"))
afters = st.none() | st.floats(0, 600)
outcomes = st.one_of(
    st.builds(Ok, st.text()),
    st.builds(Fatal, errors),
    st.builds(Retry, errors, afters),
    st.builds(RateLimited, errors, afters),
    st.builds(EndpointDown, errors, afters),
)
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    initial_delay=st.floats(0, 100),
    max_delay=st.floats(0, 1000),
    multiplier=st.floats(1, 10),
    jitter=st.floats(0, 1),
)
chances = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 200)


@given(outcomes, attempts, policies, chances, st.booleans())
def test_only_a_completion_completes_and_every_other_ending_says_why(
    outcome: Outcome, attempt: int, policy: RetryPolicy, chance: float, works: bool
) -> None:
    ending = decide(outcome, attempt, policy, chance, endpoint_works_for_others=works)
    assert (ending.verdict is Verdict.COMPLETE) == isinstance(outcome, Ok)
    assert (ending.error is None) == isinstance(outcome, Ok)
    assert ending.delay >= 0


@given(outcomes, attempts, policies, chances)
def test_an_outage_or_a_rate_limit_never_burns_and_never_fails(
    outcome: Outcome, attempt: int, policy: RetryPolicy, chance: float
) -> None:
    ending = decide(outcome, attempt, policy, chance, endpoint_works_for_others=False)
    if isinstance(outcome, RateLimited | EndpointDown):
        assert ending.verdict is Verdict.RELEASE


@given(outcomes, policies, chances, st.booleans())
def test_what_burns_ends(outcome: Outcome, policy: RetryPolicy, chance: float, works: bool) -> None:
    """RETRY only while an attempt is left: no task is retried beyond its policy."""
    for attempt in range(1, policy.max_attempts + 2):
        ending = decide(outcome, attempt, policy, chance, endpoint_works_for_others=works)
        assert ending.verdict is not Verdict.RETRY or attempt < policy.max_attempts
