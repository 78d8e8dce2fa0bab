"""`explain`: which model a name means, as a person and as a script reads it."""

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
