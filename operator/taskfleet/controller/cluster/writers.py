"""Who wrote the number of replicas of a Deployment, out of what the API server notes about every field. No I/O."""

import time
from collections.abc import Callable
from typing import Any

from taskfleet.controller.cluster.cache import Name, Object, name_of
from taskfleet.core.names import FIELD_MANAGER

TOLD_SECONDS = 600.0


class Overwritings:
    """Who last changed a number of replicas that we wrote, by pool: told for a while, for we set it back at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[Name, tuple[str, float]] = {}

    def note(self, pool: Name, deployment: Object, replicas: int) -> None:
        """A Deployment of the pool is not as we wrote it, with ``replicas``."""
        writer, found = replicas_writer(deployment), deployment["spec"].get("replicas", 0)
        if writer and found != replicas:
            text = (
                f"{writer} set the Deployment {name_of(deployment)[1]} to {found} replicas, and it was set back; scale "
                "the WorkerPool instead, in autoscaling.mode External"
            )
            self._told[pool] = text, self._clock() + TOLD_SECONDS

    def told(self, pool: Name) -> str:
        """What is to be told of it now; "" when nothing is."""
        text, until = self._told.get(pool, ("", 0.0))
        return text if self._clock() < until else ""

    def forget(self, pool: Name) -> None:
        self._told.pop(pool, None)


def replicas_writers(obj: Object) -> list[dict[str, Any]]:
    """Of its ``managedFields`` those of who else owns ``spec.replicas``."""
    entries = obj["metadata"].get("managedFields", ())
    return [entry for entry in entries if _owns_replicas(entry) and entry.get("manager") != FIELD_MANAGER]


def replicas_writer(obj: Object) -> str:
    """Who other than us wrote ``spec.replicas`` last, as it calls itself; "" when nobody did."""
    entries = [entry for entry in obj["metadata"].get("managedFields", ()) if _owns_replicas(entry)]
    last = max(entries, key=lambda entry: str(entry.get("time", "")), default=None)
    return "" if last is None or last.get("manager") == FIELD_MANAGER else str(last.get("manager"))


def _owns_replicas(entry: dict[str, Any]) -> bool:
    return "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
