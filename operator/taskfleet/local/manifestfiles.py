"""The manifests of ``up``: loaded at start, and again whenever a file of theirs changed."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from taskfleet.api.base import ObjectMeta
from taskfleet.api.manifests import SUFFIXES, Manifests, load
from taskfleet.core.errors import InvalidManifest
from taskfleet.core.pool import AutoscalingMode
from taskfleet.local.secretkeys import check_api_keys

Fingerprint = frozenset[tuple[str, int, int]]


class ManifestFiles:
    """Files and folders as given by ``-f``. Objects without a namespace get ``namespace``, as with ``kubectl -n``."""

    def __init__(self, paths: Sequence[Path], *, namespace: str, environment: Mapping[str, str]) -> None:
        self._paths = paths
        self._namespace = namespace
        self._environment = environment
        self._seen: Fingerprint = frozenset()

    def load(self) -> Manifests:
        """Everything in them. Raises InvalidManifest with every problem, InputError for missing API keys."""
        self._seen = self._fingerprint()
        loaded = load(self._paths)
        manifests = dataclasses.replace(
            loaded,
            queues=[queue.model_copy(update=self._placed(queue.metadata)) for queue in loaded.queues],
            pools=[pool.model_copy(update=self._placed(pool.metadata)) for pool in loaded.pools],
        )
        if not manifests.queues:
            raise InvalidManifest(f"there is no TaskQueue in {', '.join(str(path) for path in self._paths)}")
        _refuse_twins(manifests)
        _refuse_discovery(manifests)
        _refuse_own_servers(manifests)
        check_api_keys(manifests.pools, self._environment)
        return _without_parallel_queues(_without_hpas(manifests))

    def changed(self) -> bool:
        """Whether a file appeared, went or was written since the last load, also one that failed."""
        return self._fingerprint() != self._seen

    def _placed(self, metadata: ObjectMeta) -> dict[str, ObjectMeta]:
        if "namespace" in metadata.model_fields_set:
            return {}
        return {"metadata": metadata.model_copy(update={"namespace": self._namespace})}

    def _fingerprint(self) -> Fingerprint:
        """Names, times and sizes. A file that cannot be looked at counts as not there; loading it will say why."""
        found = set()
        for path in self._paths:
            with suppress(OSError):
                files = [file for file in path.iterdir() if file.suffix in SUFFIXES] if path.is_dir() else [path]
                for file in files:
                    status = file.stat()
                    found.add((str(file), status.st_mtime_ns, status.st_size))
        return frozenset(found)


def _refuse_discovery(manifests: Manifests) -> None:
    for pool in manifests.pools:
        if pool.spec.discovery is not None:
            raise InvalidManifest(
                f'WorkerPool "{pool.metadata.name}": spec.discovery looks for the Services of a cluster, and there are '
                "none here; remove it and list the model servers in spec.endpoints"
            )


def _without_hpas(manifests: Manifests) -> Manifests:
    """What an HPA does on a cluster, the controller does here: by the same numbers."""
    pools, notes = [], list(manifests.notes)
    for pool in manifests.pools:
        scaling = pool.spec.autoscaling
        if scaling.mode is AutoscalingMode.HPA:
            notes.append(
                f"WorkerPool {pool.metadata.name}: there are no HPAs on this machine, so autoscaling.mode HPA works as "
                "Operator here"
            )
            scaling = scaling.model_copy(update={"mode": AutoscalingMode.OPERATOR})
            spec = pool.spec.model_copy(update={"autoscaling": scaling})
            pools.append(pool.model_copy(update={"spec": spec}))
        else:
            pools.append(pool)
    return dataclasses.replace(manifests, pools=pools, notes=notes)


def _without_parallel_queues(manifests: Manifests) -> Manifests:
    """On a cluster the controller runs them; here each is run by a command, which shows how far it is."""
    notes = [
        f"ParallelQueue {queue.metadata.name}: run it with `taskfleet parallel run FILE`"
        for queue in manifests.parallel
    ]
    return dataclasses.replace(manifests, parallel=[], notes=[*manifests.notes, *notes])


def _refuse_own_servers(manifests: Manifests) -> None:
    for pool in manifests.pools:
        for endpoint in pool.spec.endpoints:
            if endpoint.server is not None:
                raise InvalidManifest(
                    f'WorkerPool "{pool.metadata.name}": the server of endpoint {endpoint.name} is a container in the '
                    "pods of a cluster, and there are none here; start the model server yourself and give its url"
                )


def _refuse_twins(manifests: Manifests) -> None:
    """Two objects may have become one by the namespace that was given to them."""
    named = [("TaskQueue", queue.metadata) for queue in manifests.queues]
    named += [("WorkerPool", pool.metadata) for pool in manifests.pools]
    identities = Counter((kind, metadata.namespace, metadata.name) for kind, metadata in named)
    for (kind, namespace, name), count in identities.items():
        if count > 1:
            raise InvalidManifest(f'there are {count} objects {kind} "{name}" in the namespace "{namespace}"')
