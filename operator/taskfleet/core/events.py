"""What is told of a task while it is on its way: the events of its stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taskfleet.core.errors import InputError

MOST_MESSAGE = 1000  # characters of a progress


class EventKind(StrEnum):
    """``started`` and ``restarted`` begin an attempt: what was told before is void. ``trimmed`` stands for events that
    are no longer there. ``finished`` is the last one."""

    STARTED = "started"
    RESTARTED = "restarted"
    CHUNK = "chunk"
    PROGRESS = "progress"
    FINISHED = "finished"
    TRIMMED = "trimmed"


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task. Give ``id`` as ``after`` to go on behind it. ``at`` is in seconds of the store's clock, None
    for what is told of events that are gone.

    ``data`` by kind: started, restarted ``{attempt, worker, model?, endpoint?}``; chunk ``{choices: [{index, delta,
    finish_reason}]}`` as OpenAI streams them (of a response the server's own events, as ``delta: {events: [...]}``);
    progress ``{fraction, message}``; finished ``{state, attempts}``; trimmed ``{}``.
    """

    id: str
    kind: EventKind
    at: float | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running task is: ``fraction`` from 0 to 1, None where nobody can say, and a word about it.

    Errors: InputError when it is neither, or too long.
    """

    fraction: float | None
    message: str = ""

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0.0 <= self.fraction <= 1.0:
            raise InputError(f"progress: {self.fraction} is not a fraction; give a number from 0 to 1")
        if len(self.message) > MOST_MESSAGE:
            raise InputError(f"progress: the message has {len(self.message)} characters; keep it within {MOST_MESSAGE}")
        try:
            self.message.encode()
        except UnicodeEncodeError:
            raise InputError("progress: the message is not Unicode text; leave out what cannot be encoded") from None
        if self.fraction is None and not self.message:
            raise InputError("progress: it says nothing; give a fraction from 0 to 1, a message, or both")


@dataclass(frozen=True, slots=True)
class Publication:
    """What the holder of a lease tells of its task: ``chunks``, the JSON of each as in ``TaskEvent.data``.

    ``first`` is the number of the first of them in this attempt, from 1: what the store has already it takes no second
    time, so a publication whose answer was lost may be sent again. ``about`` goes into the event that begins the
    attempt.
    """

    task_id: str
    fence: int
    first: int
    chunks: Sequence[bytes]
    about: Mapping[str, str]
