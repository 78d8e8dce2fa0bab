"""`explain`: which model a name means, as a person and as a script reads it."""

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.controller.policy import queue_policy
from tests.cli.conftest import Remote, Taskfleet


def test_a_name_is_explained_in_a_sentence_and_for_scripts(remote: Remote, taskfleet: Taskfleet) -> None:
    said = taskfleet("explain", "model", "fast", "-q", remote.name)
    assert said.code == 0
    assert said.out == "fast means small: fast is an alias of small\n"
    answer = taskfleet("explain", "model", "small", "-q", remote.name, "-o", "json").json
    assert answer == {
        "queue": remote.name,
        "asked": "small",
        "model": "small",
        "step": "name",
        "why": "it is the name of small",
        "fallbacks": [],
        "served_by": "small",
    }


def test_a_name_that_means_nothing_is_refused_as_a_task_would_be(remote: Remote, taskfleet: Taskfleet) -> None:
    said = taskfleet("explain", "model", "gpt-9", "-q", remote.name)
    assert said.code == 2
    assert "model: 'gpt-9' is not offered by this queue; it offers: small" in said.err


def test_a_queue_that_is_not_there_is_said(remote: Remote, taskfleet: Taskfleet) -> None:
    assert taskfleet("explain", "model", "fast", "-q", "nowhere").code == 4


def test_the_chain_of_fallbacks_is_shown_and_who_serves_now(remote: Remote, taskfleet: Taskfleet) -> None:
    models = [{"name": "large", "fallbacks": ["medium", "small"]}, {"name": "medium"}, {"name": "small"}]
    policy = queue_policy(TaskQueueSpec.model_validate({"models": models}), fallbacks={"large": "small"})
    remote.ask(lambda store: store.put_policy(remote.key, policy))
    said = taskfleet("explain", "model", "large", "-q", remote.name)
    assert said.out == (
        "large means large: it is the name of large\n"
        "while no endpoint of large is healthy: medium, else small\n"
        "now served by small\n"
    )
    answer = taskfleet("explain", "model", "large", "-q", remote.name, "-o", "json").json
    assert (answer["fallbacks"], answer["served_by"]) == (["medium", "small"], "small")
