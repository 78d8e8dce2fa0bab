"""The demo's reviews: what DATA.md promises of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from demo.prompt import messages_for
from taskfleet.api.manifests import load
from taskfleet.api.tasklines import read_task_lines

ROOT = Path(__file__).parents[2]
FILES = {"reviews.jsonl": 350, "heldout.jsonl": 186}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "demo" / name).read_text().splitlines()]


def texts(name: str) -> list[str]:
    return [line["messages"][-1]["content"] for line in lines(name)]


@pytest.mark.parametrize(("name", "count"), FILES.items())
def test_every_line_is_a_task_that_the_quickstart_queue_takes(name: str, count: int) -> None:
    (queue,) = load([ROOT / "manifests/quickstart/taskqueue.yaml"]).queues
    with (ROOT / "demo" / name).open("rb") as file:
        tasks = list(read_task_lines(file, spec=queue.spec))
    assert len(tasks) == count
    assert {task.model for task in tasks} == {"smollm2"}


@pytest.mark.parametrize("name", FILES)
def test_half_of_each_source_is_positive_and_labels_follow_the_ratings(name: str) -> None:
    found = Counter((line["metadata"]["source"], line["metadata"]["label"]) for line in lines(name))
    for source in ("movie", "product"):
        assert found[source, "positive"] == found[source, "negative"] > 30
    for line in lines(name):
        rating = line["metadata"]["rating"]
        assert abs(rating) >= 2
        assert line["metadata"]["label"] == ("positive" if rating > 0 else "negative")


def test_the_texts_are_varied_and_none_is_used_twice() -> None:
    every = [text for name in FILES for text in texts(name)]
    assert len(set(every)) == len(every)
    assert all(20 <= len(text) <= 140 for text in every)
    openings = Counter(" ".join(text.lower().split()[:3]) for text in every)
    assert openings.most_common(1)[0][1] <= len(every) * 0.02, "many begin alike: one template"
    assert len({word for text in every for word in text.lower().split()}) > 2000


@pytest.mark.parametrize("name", FILES)
def test_every_task_asks_the_same_question_about_its_own_text(name: str) -> None:
    for line in lines(name):
        assert line["messages"] == messages_for(line["messages"][-1]["content"])


def test_the_examples_of_the_prompt_are_not_in_the_data() -> None:
    examples = {message["content"] for message in messages_for("")[:-1]}
    assert examples.isdisjoint(text for name in FILES for text in texts(name))


def test_the_licence_lies_beside_the_data() -> None:
    licence = (ROOT / "demo/LICENSE-vaderSentiment.txt").read_text()
    assert "MIT License" in licence
    assert "C.J. Hutto" in licence
    assert "LICENSE-vaderSentiment.txt" in (ROOT / "demo/DATA.md").read_text()
