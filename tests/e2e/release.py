"""A release of the chart of this tree in the cluster of KUBECONFIG, by Helm's own engine."""

import os
from pathlib import Path
from typing import Any

import helm_python

from tests.support.chart import CHART, NAMESPACE, RELEASE

SECONDS = 180


class Release:
    """Installed and changed as with the ``helm`` command, ``--wait`` included."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._helm = helm_python.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=NAMESPACE)

    def install(self) -> None:
        self._helm.install(CHART, RELEASE, self._values, namespace=NAMESPACE, wait="watcher", timeout=SECONDS)

    def upgrade(self, chart: Path = CHART, **changes: Any) -> None:
        """With other values beside those of the installation. ``chart``: of another version."""
        changed = self._values | changes
        self._helm.upgrade(chart, RELEASE, changed, namespace=NAMESPACE, wait="watcher", timeout=SECONDS)

    def roll_back(self) -> None:
        self._helm.rollback(RELEASE, wait="watcher", timeout=SECONDS)

    def test(self) -> None:
        """``helm test``; HelmError when it fails."""
        self._helm.test(RELEASE, timeout=SECONDS)

    def everything_told(self) -> str:
        """What Helm shows of it except for the manifest: values, notes, history."""
        shown = [self._helm.get_values(RELEASE), self._helm.status(RELEASE), self._helm.history(RELEASE)]
        return repr([{name: part for name, part in each.items() if name != "manifest"} for each in _flat(shown)])

    def uninstall(self) -> None:
        self._helm.uninstall(RELEASE, wait="watcher", timeout=SECONDS)
        self._helm.close()


def _flat(shown: list[Any]) -> list[dict[str, Any]]:
    return [each for part in shown for each in (part if isinstance(part, list) else [part])]
