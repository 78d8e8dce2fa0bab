"""`pause` and `resume`: a queue starts nothing for a while, and says for how long."""

import time

import pytest

from taskfleet.controller.policy import queue_policy
from taskfleet.core.wiretime import moment_of, wire_time
from tests.cli.conftest import SPEC, Remote
from tests.support.commands import Taskfleet


def paused(queue: Remote) -> tuple[bool, float | None]:
    stats = queue.ask(lambda store: store.stats(queue.key))
    assert stats is not None
    return stats.paused, stats.paused_until


def test_a_pause_lasts_until_it_is_resumed(remote: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("pause", remote.name)
    assert (done.code, done.out) == (0, f"{remote.name} is paused until someone resumes it\n")
    assert paused(remote) == (True, None)
    assert taskfleet("submit", remote.name, "Hi").code == 0, "tasks are accepted"
    assert remote.work() == 0
    assert taskfleet("stats", remote.name).out.splitlines()[-1] == "paused\tuntil someone resumes it"
    assert taskfleet("resume", remote.name).out == f"{remote.name} is resumed\n"
    assert paused(remote) == (False, None)
    assert remote.work() == 1


def test_a_pause_may_have_an_end(remote: Remote, taskfleet: Taskfleet) -> None:
    end = wire_time(time.time() + 3600)
    done = taskfleet("pause", remote.name, "--until", end, "-o", "json")
    assert done.json == {"queue": remote.name, "paused": True, "until": end}
    assert paused(remote) == (True, moment_of(end))
    done = taskfleet("pause", remote.name, "--for", "2h")
    assert done.out.startswith(f"{remote.name} is paused until 2")
    ends = paused(remote)[1]
    assert ends is not None and 7190 < ends - time.time() < 7210
    assert taskfleet("stats", remote.name, "-o", "json").json["paused_until"] == ends


def test_resuming_what_is_not_paused_says_so(remote: Remote, taskfleet: Taskfleet) -> None:
    done = taskfleet("resume", remote.name)
    assert (done.code, done.out) == (0, f"{remote.name} was not paused\n")
    assert taskfleet("resume", remote.name, "-o", "json").json["was_paused"] is False
    held = SPEC.model_validate(SPEC.to_wire() | {"stopPolicy": "Hold"})
    remote.ask(lambda store: store.put_policy(remote.key, queue_policy(held)))
    assert "spec.stopPolicy of its TaskQueue is Hold; set it to None" in taskfleet("resume", remote.name).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until", "tomorrow"), "--until: 'tomorrow' is not a time in RFC 3339 with its zone"),
        (("--until", "2030-01-31T18:00:00"), "is not a time in RFC 3339 with its zone"),
        (("--until", "2020-01-31T18:00:00Z"), "--until: 2020-01-31T18:00:00Z has passed"),
        (("--until", "9999-01-31T18:00:00Z"), "is more than a year (8760h) ahead"),
        (("--for", "2"), "--for: '2' is not a duration"),
        (("--for", "0s"), "--for: 0s is not a duration of at most 8760h"),
        (("--for", "9000h"), "--for: 9000h is not a duration of at most 8760h"),
        (("--for", "1h", "--until", "2030-01-31T18:00:00Z"), "give --until or --for, one of the two"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_end_is_refused_and_pauses_nothing(
    options: tuple[str, ...], said: str, remote: Remote, taskfleet: Taskfleet
) -> None:
    done = taskfleet("pause", remote.name, *options)
    assert (done.code, said in done.err) == (2, True), done.err
    assert paused(remote) == (False, None)


def test_a_queue_that_is_not_there_is_said(remote: Remote, taskfleet: Taskfleet) -> None:
    for command in ("pause", "resume"):
        done = taskfleet(command, "nowhere")
        assert (done.code, done.err) == (4, "taskfleet: there is no queue default/nowhere\n")
