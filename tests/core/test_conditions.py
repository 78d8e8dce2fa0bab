"""Conditions as metav1 wants them: the transition time moves with the status, and with nothing else."""

from taskfleet.core.conditions import Condition, Status, merge_conditions

BEFORE, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
READY = Condition("Ready", Status.TRUE, "Idle", "nothing waits")


def test_a_new_condition_begins_now() -> None:
    assert merge_conditions([], [READY], generation=3, now=NOW) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Idle",
            "message": "nothing waits",
            "lastTransitionTime": NOW,
            "observedGeneration": 3,
        }
    ]


def test_another_reason_is_no_transition() -> None:
    old = merge_conditions([], [READY], generation=3, now=BEFORE)
    (merged,) = merge_conditions(old, [Condition("Ready", Status.TRUE, "Backlog", "4 tasks")], generation=4, now=NOW)
    assert (merged["lastTransitionTime"], merged["reason"], merged["observedGeneration"]) == (BEFORE, "Backlog", 4)


def test_another_status_is_a_transition() -> None:
    old = merge_conditions([], [READY], generation=3, now=BEFORE)
    (merged,) = merge_conditions(old, [Condition("Ready", Status.FALSE, "Gone", "")], generation=3, now=NOW)
    assert merged["lastTransitionTime"] == NOW


def test_a_condition_without_a_time_that_somebody_wrote_gets_one() -> None:
    (merged,) = merge_conditions([{"type": "Ready", "status": "True"}], [READY], generation=1, now=NOW)
    assert merged["lastTransitionTime"] == NOW


def test_conditions_that_are_no_longer_decided_go() -> None:
    old = merge_conditions([], [READY], generation=1, now=BEFORE)
    assert merge_conditions(old, [], generation=1, now=NOW) == []
