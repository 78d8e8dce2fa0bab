"""A cluster as a person with kubectl has it, and two things that kubectl can hold open for a test."""

import base64
import contextlib
import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.apiserver import kubectl_path

SYSTEM = "taskfleet-system"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class Cluster:
    """The cluster of KUBECONFIG."""

    def kubectl(self, *args: str, stdin: str | None = None, seconds: float = 60) -> str:
        """What kubectl prints; fails the test in kubectl's words."""
        done = subprocess.run(
            [kubectl_path(), *args], input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr or done.stdout}"
        return done.stdout

    def get(self, *args: str) -> Any:
        """Objects as JSON; None when the one that is named is not there."""
        printed = self.kubectl("get", *args, "-o", "json", "--ignore-not-found")
        return json.loads(printed) if printed.strip() else None

    def apply(self, *objects: Any) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def create_namespace(self, name: str) -> None:
        """One that admits only pods of the strictest standard."""
        self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, RESTRICTED)

    def password(self) -> str:
        """Valkey's, out of its Secret."""
        data = self.get("secret", "taskfleet-valkey", "-n", SYSTEM)["data"]
        return base64.b64decode(data["password"]).decode()

    def taskfleet(self, *args: str, stdin: str | None = None, seconds: float = 120) -> str:
        """The command line inside the controller's pod, where the store's URL is known."""
        where = ("exec", "-i", "-n", SYSTEM, "deployment/taskfleet-controller", "--", "taskfleet")
        return self.kubectl(*where, *args, stdin=stdin, seconds=seconds)

    @contextlib.contextmanager
    def port_forward(self, target: str, port: int) -> Iterator[int]:
        """A local port that leads to a port of ``target`` in the system's namespace."""
        command = [kubectl_path(), "port-forward", "-n", SYSTEM, target, f":{port}"]
        with running(command) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", first)
            assert found, f"kubectl port-forward: {first}"
            yield int(found.group(1))

    @contextlib.contextmanager
    def watch(self, *what: str, shows: str) -> "Iterator[Watch]":
        """Watch objects; ``shows``: a JSONPath template of what is to be seen of each version."""
        with running([kubectl_path(), "get", *what, "-w", "-o", f"jsonpath={shows}{{'\\n'}}"]) as process:
            yield Watch(process)


class Watch:
    """All that was seen, with the time at which it was."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._seen: queue.Queue[tuple[float, str]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._seen.put((time.monotonic(), line.strip()))

    def wait_for(self, wanted: Callable[[str], bool], what: str, *, timeout: float) -> float:
        """When what is ``wanted`` was first seen, as ``time.monotonic()``; what came before it is passed over."""
        deadline = time.monotonic() + timeout
        last = ""
        while True:
            try:
                seen_at, last = self._seen.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"waited {timeout:g} s for {what}; the last seen was {last!r}") from None
            if wanted(last):
                return seen_at


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
