"""The alerts: over what the code exports, fired when they should be, each with its page."""

import re
from pathlib import Path
from typing import Any

import yaml

from taskfleet.cli.main import SUBCOMMANDS
from tests.chart.exported import complaints
from tests.support.chart import ALL_ON, CHART, Object, of_kind, render
from tests.support.prometheus import promtool

RUNBOOKS = CHART.parents[1] / "docs" / "runbooks"
CASES = Path(__file__).with_name("alert_cases.yaml")


def groups(values: Object | None = None) -> list[Object]:
    return list(of_kind(render(ALL_ON if values is None else values), "PrometheusRule")["spec"]["groups"])


def rules(values: Object | None = None) -> dict[str, Object]:
    return {rule["alert"]: rule for group in groups(values) for rule in group["rules"]}


def test_every_alert_asks_for_what_is_exported() -> None:
    found = {name: complaints(rule["expr"]) for name, rule in rules().items()}
    assert {name: told for name, told in found.items() if told} == {}


def test_the_check_sees_a_metric_a_label_and_a_value_that_nothing_exports() -> None:
    assert complaints("rate(taskfleet_tasks_done_total[5m])") == ["nothing exports taskfleet_tasks_done_total"]
    assert complaints('taskfleet_queue_depth{tenant="a"}')[0] == "taskfleet_queue_depth has no label tenant"
    assert complaints('taskfleet_queue_tasks{state="lost"}') == ["taskfleet_queue_tasks has no state=lost"]
    assert complaints("sum by (model) (taskfleet_queue_depth)") == ["no metric of the query has the label model"]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(rules())
    for name, rule in rules().items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        assert f"({name}.md)" in (RUNBOOKS / "README.md").read_text()


def test_every_command_of_a_page_is_one_that_there_is() -> None:
    for path in RUNBOOKS.glob("*.md"):
        used = set(re.findall(r"\btaskfleet ([a-z]+)\b", "\n".join(re.findall(r"`([^`]+)`", path.read_text()))))
        assert used <= set(SUBCOMMANDS), path.name


def test_one_alert_can_be_switched_off_and_another_told_later() -> None:
    alerts: dict[str, Any] = {
        "TaskfleetEndpointDown": {"enabled": False},
        "TaskfleetOldestTaskTooOld": {"threshold": 60, "for": "1m", "severity": "page"},
    }
    values = {"enabled": True, "runbookBaseUrl": "https://wiki.example/x", "alerts": alerts}
    found = rules(ALL_ON | {"prometheusRule": values})
    assert set(rules()) - set(found) == {"TaskfleetEndpointDown"}
    changed = found["TaskfleetOldestTaskTooOld"]
    assert (changed["expr"], changed["for"]) == ("taskfleet_queue_oldest_pending_seconds > 60", "1m")
    assert changed["labels"] == {"severity": "page"}
    assert changed["annotations"]["runbook_url"] == "https://wiki.example/x/TaskfleetOldestTaskTooOld.md"


def test_without_a_gateway_none_is_missed() -> None:
    found = rules(ALL_ON | {"gateway": {"enabled": False}})
    assert {name for name in rules() if "Gateway" in name} == set(rules()) - set(found)


def test_promtool_takes_the_rules_and_their_unit_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    (tmp_path / "cases.yaml").write_text(CASES.read_text())
    checked = promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "cases.yaml", folder=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_unit_test_in_which_it_fires() -> None:
    fired = {
        case["alertname"]
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == set(rules())
