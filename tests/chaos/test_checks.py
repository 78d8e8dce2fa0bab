"""Each promise that `make chaos` holds us to is seen to be broken when it is, and only then."""

import dataclasses

from chaos.checks import CHECKS, Evidence, judge
from chaos.history import HARNESS, STORE, Call, Kind, Submission, Trouble
from taskfleet.core.task import TaskState
from tests.chaos.given import evidence, failed, history, view

CALL = Call(1, "t", "w1", began=10.0, answered=10.3)
AGAIN = Call(2, "t", "w2", began=14.0, answered=14.3)


def broken(found: Evidence) -> dict[str, list[str]]:
    return {finding.promise: list(finding.broken_by) for finding in judge(found) if finding.broken_by}


def test_a_run_in_which_all_went_well_breaks_nothing() -> None:
    assert broken(evidence(history(CALL), view(CALL))) == {}


def test_an_accepted_task_that_is_gone_is_lost() -> None:
    assert broken(evidence(history(CALL))) == {"accepted tasks lost": ["t"]}


def test_a_power_loss_may_take_what_was_accepted_in_the_second_before_it_and_nothing_older() -> None:
    past = history(CALL, dataclasses.replace(CALL, task="old"))
    past.accepted["t"] = 20.5
    past.troubles.append(Trouble(Kind.STORE_KILL, STORE, began=20.0, ended=22.0))
    assert broken(evidence(past, loses_power=True)) == {"accepted tasks lost": ["old"]}
    assert broken(evidence(past, loses_power=False)) == {"accepted tasks lost": ["t", "old"]}


def test_a_task_that_still_runs_has_no_end() -> None:
    found = evidence(history(CALL), view(CALL, state=TaskState.RUNNING))
    assert broken(found) == {"accepted tasks without an end": ["t"]}


def test_a_submission_is_there_whole_or_not_at_all() -> None:
    past = history(CALL)
    past.unknown = [Submission(("t", "u")), Submission(("v", "w"))]
    assert broken(evidence(past, view(CALL))) == {"submissions of which a part is there": ["t: 1 of 2"]}


def test_a_result_that_changed_after_it_was_seen_was_settled_twice() -> None:
    found = evidence(history(CALL), view(CALL), changed=["t"])
    assert broken(found) == {"results that changed (settled twice)": ["t"]}


def test_a_result_of_a_worker_that_had_lost_its_lease_is_not_accepted() -> None:
    past = history(CALL, AGAIN)
    past.troubles.append(Trouble(Kind.FREEZE, "w1", began=10.1, ended=15.0))
    found = evidence(past, view(CALL, worker="w2"))
    assert broken(found) == {"results of a call without the lease": ["t: the call of w1, the lease of w2"]}


def test_a_result_without_an_answer_of_the_model_is_made_up() -> None:
    found = evidence(history(CALL), view(CALL, output="7"))
    assert broken(found) == {"results of a call without the lease": ["t: no answered call has the text '7'"]}


def test_no_task_fails_but_by_being_set_aside() -> None:
    assert broken(evidence(history(CALL), failed(CALL, "poison"))) == {}
    assert broken(evidence(history(CALL), failed(CALL, "server_error"))) == {
        "tasks failed": ["t: failed, server_error"]
    }


def test_a_task_runs_again_only_for_a_reason() -> None:
    past = history(CALL, AGAIN)
    assert list(broken(evidence(past, view(AGAIN)))) == ["tasks run again without a reason"]
    for reason in (
        Trouble(Kind.FREEZE, "w1", began=9.0, ended=15.0),
        Trouble(Kind.CUT, "w2", began=9.0, ended=11.0),
        Trouble(Kind.STORE_KILL, STORE, began=10.2, ended=11.0),
        Trouble(Kind.STALL, HARNESS, began=11.0, ended=12.0),
    ):
        past.troubles = [reason]
        assert broken(evidence(past, view(AGAIN))) == {}
    for other in (
        Trouble(Kind.FREEZE, "w3", began=9.0, ended=15.0),
        Trouble(Kind.FREEZE, "w1", began=3.0, ended=8.0),
        Trouble(Kind.FREEZE, "w1", began=14.5, ended=20.0),
    ):
        past.troubles = [other]
        assert list(broken(evidence(past, view(AGAIN)))) == ["tasks run again without a reason"]


def test_a_fault_of_the_model_is_a_reason() -> None:
    past = history(dataclasses.replace(CALL, answered=None, fault="500"), AGAIN)
    assert broken(evidence(past, view(AGAIN))) == {}


def test_counters_and_ends_of_workers_are_told_in_their_words() -> None:
    past = history(CALL)
    past.ended_by_themselves.append("w1")
    assert broken(evidence(past, view(CALL), census="completed: 2 is not 1")) == {
        "counters that differ from their sets": ["completed: 2 is not 1"],
        "workers that ended by themselves": ["w1"],
    }


def test_every_promise_is_judged() -> None:
    assert [finding.promise for finding in judge(evidence(history(CALL), view(CALL)))] == list(CHECKS)


def test_a_task_of_a_session_that_overtakes_the_one_before_it_is_found() -> None:
    first = Call(1, "s-0", "w1", began=10.0, answered=10.3)
    for began, found in ((10.4, []), (10.2, ["s-1: called 10.20, s-0 was answered 10.30"])):
        second = Call(2, "s-1", "w2", began=began, answered=began + 0.3)
        past = history(first, second)
        seen = broken(evidence(past, view(first, session="s"), view(second, session="s")))
        assert seen.get("tasks of a session out of order", []) == found
    assert broken(evidence(past, view(first), view(second))) == {}
