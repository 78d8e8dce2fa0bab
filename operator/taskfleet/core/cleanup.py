"""Work that must be whole although whoever asked for it may be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_its_end(work: Coroutine[Any, Any, object]) -> None:
    """Wait for ``work``, which goes on when the wait is cancelled.

    It is done in a task of its own: until Python 3.11.3 no timeout ends well in a task that was cancelled before, and
    the store sets one for each call.
    """
    await asyncio.shield(asyncio.create_task(work))
