"""The Lease of several controllers as an object of the API server; who may have it is for core.leadership to say."""

from datetime import UTC, datetime
from typing import Any

from taskfleet.core.leadership import Claim
from taskfleet.kube import LEASES, KubeClient, KubeNotFound

Object = dict[str, Any]


class Lease:
    """Reads and writes one Lease; a write is over the version that was read or written last. Raises KubeError."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._name = {"namespace": namespace, "name": name}
        self._live: Object | None = None

    async def read(self) -> Claim | None:
        """What it says; None: there is none."""
        try:
            self._live = await self._client.get(LEASES, **self._name)
        except KubeNotFound:
            self._live = None
            return None
        return _claim(self._live)

    async def write(self, holder: str, seconds: float) -> Claim:
        """Claim it, renew it, or with an empty ``holder`` let it go. KubeConflict: somebody else wrote meanwhile."""
        if self._live is None:
            manifest = {"metadata": self._name, "spec": _spec({}, holder, seconds)}
            self._live = await self._client.create(LEASES, manifest)
        else:
            manifest = {"metadata": self._live["metadata"], "spec": _spec(self._live.get("spec", {}), holder, seconds)}
            self._live = await self._client.replace(LEASES, manifest)
        return _claim(self._live)


def _claim(lease: Object) -> Claim:
    spec = lease.get("spec", {})
    # Not the resourceVersion: a label that somebody puts on it is no renewal.
    mark = f"{spec.get('leaseTransitions', 0)} {spec.get('renewTime', '')}"
    return Claim(spec.get("holderIdentity") or "", float(spec.get("leaseDurationSeconds") or 1), mark)


def _spec(before: Object, holder: str, seconds: float) -> Object:
    """The times are for people to read: no controller compares them with its own clock."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    same = before.get("holderIdentity", "") == holder
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": round(seconds),
        "renewTime": now,
        "acquireTime": before.get("acquireTime", now) if same else now,
        "leaseTransitions": before.get("leaseTransitions", 0) + (holder != "" and not same),
    }
