"""What comes of one HTTP call: a whole answer, or a reason why none came."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)  # not frozen: one is made for each task, and freezing trebles what that costs
class Answer:
    """A whole HTTP answer; names of ``headers`` are in lower case. ``streamed``: its body was given away by lines."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    streamed: bool = False


class NoAnswer(Exception):
    """No whole answer came. ``code`` is for machines; ``timed_out``: the server took the call but not the time;
    ``connected``: there was a connection, so that the server may have seen the call.
    """

    def __init__(self, code: str, message: str, *, timed_out: bool = False, connected: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.timed_out = timed_out
        self.connected = connected
