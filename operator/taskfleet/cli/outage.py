"""A store that is away while a command follows it: waited for, as long as its ``up`` runs."""

import asyncio

from taskfleet.cli.output import Output
from taskfleet.cli.target import Target
from taskfleet.core.errors import StoreUnreachable

LOOK_AGAIN_SECONDS = 1.0


class Outage:
    """Tells of each outage once."""

    def __init__(self, target: Target, output: Output) -> None:
        self._target = target
        self._output = output
        self._told = False

    async def wait(self, error: StoreUnreachable) -> None:
        """Until it is worth another look. Raises NotRunning when its ``up`` has ended."""
        self._target.check()
        if not self._told:
            self._output.remark(f"taskfleet: {error}; waiting for it")
        self._told = True
        await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def over(self) -> None:
        self._told = False
