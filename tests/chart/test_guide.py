"""The commands of the guides for a cluster: the chart takes their values, kubectl reads its own, files are there."""

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
GUIDES = ("helm", "autoscaling", "install", "vllm", "ollama", "operations", "security")
PAGES = {name: (ROOT / "docs" / "guides" / f"{name}.md").read_text().replace("\\\n", " ") for name in GUIDES}
LIFE = commands(PAGES["helm"])
COMMANDS = list(dict.fromkeys(command for page in PAGES.values() for command in commands(page)))
# What makes the cluster itself is the affair of tests/house/test_kind.py.
OF_KIND = ("make kind", "kind ", "docker ")
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


@pytest.mark.parametrize(
    "command", [each for each in [*COMMANDS, *INLINE] if not each.startswith(("kubectl", *OF_KIND))]
)
def test_the_chart_takes_the_values_of_the_guide(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "helm":
        assert RELEASE in words
        assert words[words.index("--namespace") + 1] == NAMESPACE
        if words[1] in ("install", "upgrade", "template"):
            assert CHART in [ROOT / word for word in words]
        for option, template in itertools.pairwise(words):
            assert option != "--show-only" or (CHART / template).exists()
    else:
        assert values(words)
    assert render(values(words))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("kubectl")])
def test_kubectl_reads_its_commands_of_the_guide(command: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("keys: []\n")
    command = re.split(r" [<>] ", command.replace("keys.yaml", str(keys)))[0]
    words = shlex.split(re.sub(r"\$\([^)]*\)", "x", command))
    assert kubectl_reads(words, tmp_path), command
    named = [file for option, file in itertools.pairwise(words) if option == "-f" and "taskfleet" not in words]
    assert [file for file in named if not (ROOT / file).exists()] == []


def test_every_link_of_the_guides_and_the_runbooks_leads_somewhere() -> None:
    for page in [*(ROOT / "docs/guides").glob("*.md"), *(ROOT / "docs/runbooks").glob("*.md")]:
        links = re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", page.read_text())
        for file, heading in [link for link in links if "://" not in link[0]]:
            target = page.parent / file if file else page
            assert target.exists(), (page.name, file)
            assert not heading or heading in headings(target.read_text()), (page.name, file, heading)


def headings(text: str) -> list[str]:
    """As links name them."""
    titles = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
