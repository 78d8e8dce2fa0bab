"""The commands of docs/guides/helm.md and autoscaling.md: the chart takes their values, and kubectl reads its own."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.demo.test_readme import commands, kubectl_reads
from tests.support.chart import CHART, NAMESPACE, RELEASE, render

ROOT = CHART.parents[1]
GUIDE = (ROOT / "docs" / "guides" / "helm.md").read_text()
AUTOSCALING = (ROOT / "docs" / "guides" / "autoscaling.md").read_text()
LIFE = commands(GUIDE.replace("\\\n", " "))
COMMANDS = [*LIFE, *commands(AUTOSCALING.replace("\\\n", " "))]
INLINE = re.findall(r"`((?:helm [a-z]+ taskfleet |--set )[^`]+)`", GUIDE)


def values(words: list[str]) -> dict[str, Any]:
    """What ``--set`` says, for the forms that the guide uses."""
    chosen: dict[str, Any] = {}
    for option, said in itertools.pairwise(words):
        if option == "--set":
            path, _, text = said.partition("=")
            inner = chosen
            *above, last = path.split(".")
            for name in above:
                inner = inner.setdefault(name, {})
            listed = text[1:-1].split(",") if text.startswith("{") else None
            inner[last] = listed or _value(text)
    return chosen


def _value(text: str) -> str | int | bool:
    return int(text) if text.isdigit() else {"true": True, "false": False}.get(text, text.lower())


def test_the_guide_shows_the_whole_life_of_a_release() -> None:
    verbs = [shlex.split(command)[1] for command in LIFE if command.startswith("helm ")]
    assert {"install", "test", "upgrade", "rollback", "uninstall"} == set(verbs)


@pytest.mark.parametrize("command", [command for command in [*COMMANDS, *INLINE] if not command.startswith("kubectl")])
def test_the_chart_takes_the_values_of_the_guide(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "helm":
        assert words[2] == RELEASE
        assert words[words.index("--namespace") + 1] == NAMESPACE
        if words[1] in ("install", "upgrade"):
            assert ROOT / words[3] == CHART
    else:
        assert values(words)
    assert render(values(words))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("kubectl")])
def test_kubectl_reads_its_commands_of_the_guide(command: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("keys: []\n")
    command = command.replace("keys.yaml", str(keys))
    assert kubectl_reads(shlex.split(re.sub(r"\$\([^)]*\)", "x", command)), tmp_path), command


def test_every_link_of_the_guide_and_the_runbooks_leads_somewhere() -> None:
    for page in [
        ROOT / "docs/guides/helm.md",
        ROOT / "docs/guides/autoscaling.md",
        *(ROOT / "docs/runbooks").glob("*.md"),
    ]:
        links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()) if "://" not in link]
        assert [link for link in links if not (page.parent / link).exists()] == [], page.name
