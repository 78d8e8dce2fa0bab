"""Which store a command talks to: that of a running ``taskfleet up``, or one elsewhere by its URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from taskfleet.cli.settings import SETTINGS, counts_before, load_settings
from taskfleet.cli.storeurl import with_authority
from taskfleet.core.errors import NotFound, NotRunning
from taskfleet.core.task import QueueKey
from taskfleet.embedded.datadir import read_up_file
from taskfleet.store import Store


@dataclass(frozen=True, slots=True)
class Target:
    """A store, the namespace of unqualified queue names, and the queues known to be there.

    ``data`` is the folder of the `up` that it belongs to, None for a store elsewhere.
    """

    store_url: str
    namespace: str
    queues: tuple[QueueKey, ...] = ()
    data: Path | None = None

    def check(self) -> None:
        """Raise NotRunning when the `up` has ended, or was started again with another store: no use to wait for it."""
        if self.data is not None and read_up_file(self.data).store_url != self.store_url:
            raise NotRunning(f"the `taskfleet up` on {self.data} was started again in the meantime; its tasks are kept")

    def queue(self, text: str) -> QueueKey:
        """The queue meant by ``name`` or ``namespace/name``."""
        try:
            return QueueKey.parse(text) if "/" in text else QueueKey(self.namespace, text)
        except ValueError as error:
            raise click.UsageError(f"QUEUE: {error}") from error

    def queues_to_search(self, queue: str | None) -> tuple[QueueKey, ...]:
        """Where to look for a task: in ``queue``, else in every queue of the running ``up``."""
        if queue is not None:
            return (self.queue(queue),)
        if not self.queues:
            raise click.UsageError(f"with {SETTINGS['storeUrl'].variable}, say which queue: --queue NAME")
        return self.queues

    def no_queue(self, key: QueueKey) -> NotFound:
        """The error for a queue that the store does not have; names those known to be there."""
        known = ", ".join(str(each) for each in self.queues)
        return NotFound(f"there is no queue {key}" + (f"; there are: {known}" if known else ""))

    def not_found(self, what: str, queue: str | None) -> NotFound:
        """The error for a task or batch that is in none of the queues searched."""
        searched = ", ".join(str(key) for key in self.queues_to_search(queue))
        return NotFound(f"there is no {what} in {searched}; finished ones are kept for the queue's retention time")


def find_target(data: Path | None, namespace: str | None) -> Target:
    """The store of a URL or that of a data folder: what is said nearer to the command line, and the URL of two.

    Raises NotRunning when it comes to a folder and no ``up`` runs there, and InputError for wrong settings.
    """
    settings = load_settings()
    url, folder = settings.find("storeUrl"), settings.find("data", data)
    chosen = settings.find("namespace", namespace).value
    if counts_before(url, folder):
        return Target(with_authority(url.value), chosen or "default")
    running = read_up_file(folder.value)
    return Target(running.store_url, chosen or running.namespace, running.queues, folder.value)


@asynccontextmanager
async def open_store(target: Target) -> AsyncIterator[Store]:
    """The target's store, connected; closed at the end."""
    store = await Store.connect(target.store_url)
    try:
        yield store
    finally:
        await store.close()
