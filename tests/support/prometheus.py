"""Prometheus and promtool, where a machine has them: ``apt-get install prometheus``."""

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.waiting import wait_until

NOT_HERE = "NO {0}: install it (Debian: apt-get install prometheus) to run the tests of boards and alerts against it"


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; skips the test where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(NOT_HERE.format(name.upper()))
    return found


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


class Prometheus:
    """A server that scrapes, to be asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of a query now. AssertionError with the server's words when it does not take it."""
        asked = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=10) as answer:
                return list(json.load(answer)["data"]["result"])
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def prometheus(ports: Sequence[int], folder: Path, *, every: str = "500ms") -> Iterator[Prometheus]:
    """A Prometheus of this test's own that scrapes ``ports`` of this machine."""
    binary = program("prometheus")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = {
        "job_name": "taskfleet",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in ports]}],
    }
    config = {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        server = Prometheus(port)
        try:
            wait_until(server.is_ready, "Prometheus to be ready", timeout=20)
            yield server
        finally:
            process.terminate()
            process.wait(20)
