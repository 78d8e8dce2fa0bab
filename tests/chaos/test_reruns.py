"""How long the tasks of a killed worker waited, and what excuses a late one."""

import dataclasses

import pytest

from chaos.history import STORE, Call, Kind, Trouble
from chaos.reruns import Rerun, reruns
from tests.chaos.given import LEASE, history, view

KILLED = 12.0
CALL = Call(1, "t", "w1", began=11.8)
AGAIN = Call(2, "t", "w2", began=KILLED + 8.0, answered=KILLED + 8.3)


def the_rerun(*troubles: Trouble, attempts: int = 2) -> Rerun:
    past = history(CALL, AGAIN)
    past.troubles = [Trouble(Kind.KILL, "w1", KILLED), *troubles]
    (rerun,) = reruns(past, {"t": view(AGAIN, attempts=attempts)})
    return rerun


def test_a_rerun_counts_from_the_kill_and_is_late_after_a_lease_and_two_seconds() -> None:
    rerun = the_rerun()
    assert (rerun.seconds, rerun.is_undisturbed, rerun.is_late(LEASE)) == (8.0, True, True)
    assert not the_rerun().is_late(6.0)


@pytest.mark.parametrize(
    ("of", "began", "ended", "blocked"),
    [
        (STORE, KILLED - 1, KILLED + 1, 1.0),
        (STORE, KILLED + 1, KILLED + 3, 2.0),
        ("w2", KILLED + 7, KILLED + 20, 1.0),
        ("w3", KILLED + 1, KILLED + 3, 0.0),
    ],
)
def test_time_in_which_nobody_could_have_run_it_does_not_count(
    of: str, began: float, ended: float, blocked: float
) -> None:
    rerun = the_rerun(Trouble(Kind.CUT, of, began, ended))
    assert (rerun.blocked, rerun.is_late(LEASE)) == (blocked, blocked < 1.0)


def test_after_a_time_in_which_no_worker_was_heard_leases_hold_for_one_more() -> None:
    rerun = the_rerun(Trouble(Kind.STORE_KILL, STORE, KILLED - 0.5, KILLED + 0.5))
    assert (rerun.blocked, rerun.silence) == (0.5, 2.0)
    assert [rerun.is_late(lease) for lease in (2.5, 3.0, 4.5, 6.0)] == [True, False, True, False]


def test_two_troubles_at_once_count_once() -> None:
    both = (Trouble(Kind.CUT, STORE, KILLED + 1, KILLED + 3), Trouble(Kind.CUT, "w2", KILLED + 2, KILLED + 4))
    assert the_rerun(*both).blocked == 3.0


def test_a_claim_that_reached_no_call_is_an_excuse() -> None:
    rerun = the_rerun(attempts=3)
    assert rerun.claim_lost and not rerun.is_late(LEASE)


def test_what_was_done_before_the_kill_or_refused_by_the_model_is_no_rerun() -> None:
    past = history(dataclasses.replace(CALL, answered=11.9))
    past.troubles = [Trouble(Kind.KILL, "w1", KILLED)]
    assert list(reruns(past, {})) == []
    past = history(dataclasses.replace(CALL, fault="500"), AGAIN)
    past.troubles = [Trouble(Kind.KILL, "w1", KILLED)]
    assert list(reruns(past, {})) == []
