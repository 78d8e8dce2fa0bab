"""A session as a conversation: the turns before are part of the next call, as many of them as fit. Pure.

A turn is what was asked and what was answered, as messages. System messages say how to answer and are no part of what
is forgotten: those of the call hold, or without any those of the last turn, which each turn carries on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taskfleet.core.tokens import estimate_tokens


class SessionContext(StrEnum):
    """What a task of a session knows of those before it: nothing, or what was asked and answered."""

    NONE = "None"
    CONVERSATION = "Conversation"


Message = Mapping[str, Any]
Turn = Sequence[Message]
_INSTRUCTIONS = ("system", "developer")
_SAYS = frozenset(("content", "tool_calls", "refusal", "reasoning_content"))


@dataclass(frozen=True, slots=True)
class Conversation:
    """``messages`` of the call; ``forgotten``: how many of the oldest turns did not fit."""

    messages: list[Message]
    forgotten: int


def continued(asked: Sequence[Message], turns: Sequence[Turn], max_tokens: int) -> Conversation:
    """What to send when ``asked`` follows ``turns``: of those before, the last ones of at most ``max_tokens`` in all.

    Tokens are estimated. A turn is kept whole or not at all; what is asked now is never cut.
    """
    system = _instructions(asked) or (_instructions(turns[-1]) if turns else [])
    kept: list[Message] = []
    room, forgotten = max_tokens, len(turns)
    for turn in reversed(turns):
        said = _said(turn)
        room -= estimate_tokens(said, {}, usual_answer=0)
        if room < 0:
            break
        kept = [*said, *kept]
        forgotten -= 1
    return Conversation([*system, *kept, *_said(asked)], forgotten)


def turn_of(asked: Sequence[Message], messages: Sequence[Message], output: Any) -> list[Message]:
    """What the next call needs of this one: ``asked`` and the answer, behind the instructions that ``messages`` had."""
    return [*_instructions(messages), *_said(asked), {**_answer(output), "role": "assistant"}]


def _answer(output: Any) -> Message:
    """What was said; of a whole answer in OpenAI's form, the first of its choices. What is no message, as a handler may
    return it, is said as JSON."""
    match output:
        case str():
            return {"content": output}
        case {"choices": [{"message": Mapping() as message}, *_]}:
            return message
        case Mapping() if not _SAYS.isdisjoint(output):
            return output
    return {"content": json.dumps(output, ensure_ascii=False)}


def _instructions(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.get("role") in _INSTRUCTIONS]


def _said(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.get("role") not in _INSTRUCTIONS]
