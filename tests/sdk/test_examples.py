"""Every example runs as its first line says: most on the stub model server, the three stories on a real small model."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.modelstub import ModelStub
from tests.support.realmodel import serving_real_model

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
STORIES = {"label_dataset.py", "llm_as_judge.py", "agent_handoff.py"}


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_list_of_examples_is_whole() -> None:
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", ["label_dataset.py", "agent_handoff.py"])
def test_a_story_that_must_be_told_more_says_what(name: str) -> None:
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (usage,) = re.findall(rf"`{name} ([^`]+)`", (EXAMPLES / "README.md").read_text())
    assert f"python examples/{name} {usage}" in done.stderr


def test_basic(stub_model: ModelStub) -> None:
    said = run("basic.py", stub_model.url)
    assert "completed echo: Name three colours." in said
    assert said.count("echo: Say the number") == 5


def test_progress(stub_model: ModelStub) -> None:
    said = run("progress.py", stub_model.url)
    assert "4 of 4 ended, 0 failed" in said
    assert "4 completed" in said
    assert "40 tokens; by model: stub" in said


def test_errors(stub_model: ModelStub) -> None:
    stub_model.set_fault("400-openai")
    said = run("errors.py", stub_model.url)
    assert "refused: prompt: it is empty" in said
    assert "refused: model: 'a-model-that-nobody-has' is not offered" in said
    assert "failed - Invalid value" in said
    assert re.search(r"\d\d:\d\d:\d\d \w+ on openai-1-\w+: Invalid value", said)


def test_cancelling(stub_model: ModelStub) -> None:
    stub_model.hold()
    said = run("cancelling.py", stub_model.url)
    assert "cancelled the last one: True" in said
    assert "50 of 50 were cancelled" in said


def test_priorities(stub_model: ModelStub) -> None:
    order = re.findall(r"ended: (\w+)-\d", run("priorities.py", stub_model.url))
    assert order == ["critical"] * 2 + ["high"] * 2 + ["normal"] * 2 + ["low"] * 2


def test_many_workers(stub_model: ModelStub) -> None:
    said = run("many_workers.py", stub_model.url, stub_model.url)
    assert "200 tasks in" in said
    assert len(re.findall(r"openai-[12]: \d+ tasks", said)) == 2


def test_custom_handler() -> None:
    assert run("custom_handler.py").splitlines() == [
        "completed {'words': 3, 'attempt': 1}",
        "completed {'words': 3, 'attempt': 2}",
        "completed {'words': 2, 'attempt': 1}",
    ]


@pytest.fixture(scope="module")
def real_model() -> Iterator[str]:
    """The base URL of SmolLM2-135M, as the demo runs it."""
    with serving_real_model() as url:
        yield url


def test_story_a_large_dataset_is_labelled_and_goes_on(real_model: str, tmp_path: Path) -> None:
    reviews = [json.loads(line) for line in (ROOT / "demo/reviews.jsonl").read_text().splitlines()[:12]]
    texts = [{"text": review["messages"][-1]["content"]} for review in reviews]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    arguments = (str(tmp_path / "reviews.jsonl"), str(tmp_path / "labels.jsonl"), real_model)
    assert "12 of 12 labelled" in run("label_dataset.py", *arguments)
    lines = (tmp_path / "labels.jsonl").read_text().splitlines()
    labels = [json.loads(line)["output"].strip().lower() for line in lines]
    assert set(labels) <= {"positive", "negative"}
    right = [label == review["metadata"]["label"] for label, review in zip(labels, reviews, strict=True)]
    assert sum(right) > len(reviews) / 2
    asked = (tmp_path / "labels.checkpoint").read_text()
    assert "12 of 12 labelled" in run("label_dataset.py", *arguments)
    assert (tmp_path / "labels.checkpoint").read_text() == asked, "nothing was asked again"


def test_story_judges_vote_and_their_agreement_is_told(real_model: str) -> None:
    said = run("llm_as_judge.py", real_model)
    assert len(re.findall(r"-> [\w ]+ \([123] of 3\)", said)) == 4
    agreement = re.search(r"agreement: (\d+)%", said)
    assert agreement is not None
    assert 33 <= int(agreement[1]) <= 100


def test_story_agents_hand_over_by_what_they_are_good_at(real_model: str) -> None:
    said = run("agent_handoff.py", real_model, "smollm2")
    assert re.findall(r"^(\w+) -> (\w+): \S", said, re.MULTILINE) == [
        ("fast", "sprinter"),
        ("reasoning", "thinker"),
        ("chat", "talker"),
    ]
