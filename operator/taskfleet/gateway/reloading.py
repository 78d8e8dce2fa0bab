"""Files that may change under a gateway, as a Secret does that is mounted, or a renewed certificate."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from taskfleet.core.errors import InputError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Reloading:
    """Loads files, again when they change: a change that is wrong is logged, and what was there stays."""

    def __init__(self, what: str, paths: tuple[Path, ...], load: Callable[[], None]) -> None:
        """Loads them. ``what`` is for logs. ``load`` raises InputError, and takes nothing over then; so does this."""
        self._what = what
        self._paths = paths
        self._load = load
        self._seen = self._look()
        load()

    async def follow(self) -> None:
        """Look for changes for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            seen = self._look()
            if seen == self._seen:
                continue
            self._seen = seen
            try:
                self._load()
            except InputError as error:
                log.warning("a change of the %s is not used", self._what, extra={"error": str(error)})
            else:
                log.info("took over a change of the %s", self._what)

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_fingerprint(path) for path in self._paths]


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """What is another one when a file has changed. None when it cannot be looked at; loading says why."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
