"""What is said of a ParallelQueue: its problems with their fields, and its status out of the run's record."""

from typing import Any

import pytest

from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.validate import validate
from taskfleet.controller.parallelruns.desk import StandsStill
from taskfleet.controller.parallelruns.problems import check, in_spec
from taskfleet.controller.parallelruns.status import Look, status_of
from taskfleet.core.parallel.rules import ItemStatus, RunState
from taskfleet.core.parallel.tally import Tally
from tests.support.parallelqueues import NOW, STEP, parallel_queue, record

LATER = "2026-01-01T00:01:00Z"


FROM_A_MAP = {"rows": {"configMap": {"name": "sources", "key": "rows.csv"}}}


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        ({"items": "rows.csv"}, "ItemsNotSupported", "spec.items: rows.csv is a file, and the controller has none"),
        ({"items": "rows.doc"}, "InvalidSpec", "spec.items: 'rows.doc' is no list"),
        ({"items": "{{ gone }}"}, "InvalidSpec", "spec.items: gone is not known here"),
        ({"until": "{{ $dne > 1 }}"}, "InvalidSpec", "spec.until: $dne is not known here"),
        ({"actionLoop": [{"name": "ask"}]}, "InvalidSpec", "spec.actionLoop[0]: it needs an action"),
        ({"inputs": {"a-b": 1}}, "InvalidSpec", "spec.inputs.a-b: is no name for templates"),
        ({"inputs": {"rows": 1}, "inputsFrom": FROM_A_MAP}, "InvalidSpec", "spec.inputsFrom.rows: rows is in inputs"),
        (
            {"inputsFrom": {"ask": {"parallelQueue": {"name": "first"}}}},
            "InvalidSpec",
            "spec.actionLoop[0].name: ask is an input as well",
        ),
    ],
)
def test_each_problem_is_told_with_its_field(spec: dict[str, Any], reason: str, said: str) -> None:
    with pytest.raises(StandsStill) as refused:
        check(parallel_queue(**spec).spec)
    assert refused.value.reason == reason
    assert said in str(refused.value)


def test_inputs_of_other_objects_are_known_to_templates() -> None:
    check(parallel_queue(items="{{ rows }}", inputsFrom=FROM_A_MAP).spec)


def test_fields_are_called_as_the_kind_has_them() -> None:
    assert in_spec(("on",)) == "spec.items"
    assert in_spec(("actionLoop", 0, "on")) == "spec.actionLoop[0].items"


def conditions(status: dict[str, Any]) -> dict[str, Any]:
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def test_a_run_is_shown_in_numbers_while_it_goes_on_and_with_its_end() -> None:
    tally = Tally()
    for status, error in ((ItemStatus.COMPLETED, ""), (ItemStatus.FAILED, "server_error: 500")):
        tally.item_ended(status, error)
    for name in ("check", "ask", "ask"):
        tally.step_ended(name, "ok")
    running = status_of(parallel_queue(), Look(record(taken=4, tally=tally)), {}, NOW)
    numbers = {name: running[name] for name in ("phase", "progress", "total", "open", "completed", "failed")}
    assert numbers == {"phase": "Running", "progress": "2/5", "total": 5, "open": 2, "completed": 1, "failed": 1}
    assert [step["name"] for step in running["steps"]] == ["ask", "check"], "in the order of the spec"
    assert running["causes"] == [{"cause": "server_error: 500", "items": 1}]
    assert conditions(running)["Ready"] == ("True", "Running", "its items go through their steps")

    tally.item_ended(ItemStatus.CANCELLED, "")
    over = record(taken=3, tally=tally, state=RunState.EXPIRED, reason="its deadline of 1m has passed", finished=60.0)
    ended = status_of(parallel_queue(2), Look(over), running, LATER)
    words = "its deadline of 1m has passed; 5 items: 1 completed, 1 failed, 1 cancelled"
    assert conditions(ended) == {"Ready": ("False", "Expired", words), "Ended": ("True", "Expired", words)}
    assert (ended["phase"], ended["endTime"], ended["observedGeneration"]) == ("Expired", "1970-01-01T00:01:00Z", 2)
    assert {each["lastTransitionTime"] for each in ended["conditions"]} == {LATER}


def test_what_cannot_be_seen_now_stays_as_it_was() -> None:
    before = status_of(parallel_queue(), Look(record(taken=2)), {}, NOW)
    trouble = ("StoreUnreachable", "the store is away")
    after = status_of(parallel_queue(), Look(trouble=trouble), before, LATER)
    assert conditions(after)["Ready"] == ("False", *trouble)
    assert {name: after[name] for name in after if name != "conditions"} == {
        name: before[name] for name in before if name != "conditions"
    }


def test_defaults_that_the_api_server_fills_in_are_no_problem() -> None:
    completed = validate(
        {
            "apiVersion": "taskfleet.dev/v1alpha1",
            "kind": "ParallelQueue",
            "metadata": {"name": "work"},
            "spec": {"queueRef": {"name": "demo"}, "items": ["a"], "actionLoop": [STEP]},
        }
    )
    assert completed.problems == ()
    check(ParallelQueue.model_validate(completed.manifest).spec)
