"""The manifests of ``up``: loaded at start, and again whenever a file of theirs changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from taskfleet.api.manifests import Manifests, load

from taskfleet.api.base import ObjectMeta
from taskfleet.core.errors import InvalidManifest
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
        manifests = Manifests(
            queues=[queue.model_copy(update=self._placed(queue.metadata)) for queue in loaded.queues],
            pools=[pool.model_copy(update=self._placed(pool.metadata)) for pool in loaded.pools],
        )
        if not manifests.queues:
            raise InvalidManifest(f"there is no TaskQueue in {', '.join(str(path) for path in self._paths)}")
        check_api_keys(manifests.pools, self._environment)
        return manifests

    def changed(self) -> bool:
        """Whether a file appeared, went or was written since the last load, that one's success apart."""
        return self._fingerprint() != self._seen

    def _placed(self, metadata: ObjectMeta) -> dict[str, ObjectMeta]:
        if "namespace" in metadata.model_fields_set:
            return {}
        return {"metadata": metadata.model_copy(update={"namespace": self._namespace})}

    def _fingerprint(self) -> Fingerprint:
        """Names, times and sizes. A file that cannot be looked at counts as not there; loading it will say why."""
        files = (file for path in self._paths for file in (path.rglob("*") if path.is_dir() else (path,)))
        found = set()
        for file in files:
            try:
                status = file.stat()
            except OSError:
                continue
            found.add((str(file), status.st_mtime_ns, status.st_size))
        return frozenset(found)
