"""What a call of a session brings along from before, and what it leaves for the next one."""

from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.core.conversation import Conversation, Message, continued, turn_of
from taskfleet.core.settlement import Turn
from taskfleet.core.task import QueueKey
from taskfleet.worker.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Talk:
    """One call in a conversation: what it asks, and all that is sent."""

    asked: list[dict[str, Any]]
    conversation: Conversation

    def turn(self, output: Any) -> Turn:
        """What the store keeps of it with the answer."""
        messages = turn_of(self.asked, self.conversation.messages, output)
        return Turn(orjson.dumps(messages), self.conversation.forgotten)


class Conversations:
    """The conversations of one queue, kept in the store: whichever worker has the next task takes over."""

    def __init__(self, store: Workplace, queue: QueueKey) -> None:
        self._store = store
        self._queue = queue

    async def take_up(self, session: str, asked: list[dict[str, Any]], max_tokens: int) -> Talk:
        """What to send for ``asked``. Raises StoreError: without the turns before, it must not be sent."""
        stored = await self._store.turns(self._queue, session)
        turns: list[list[Message]] = [orjson.loads(turn) for turn in stored]
        return Talk(asked, continued(asked, turns, max_tokens))
