"""A real ``taskfleet controller`` process for tests, with only the rights that the installation gives it."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

WORKER_IMAGE = "example.invalid/taskfleet:test"


class ControllerProcess:
    """Its JSON log lines are kept in ``lines``."""

    def __init__(self, *, kubeconfig: Path, store_url: str, namespace: str = "", lease: str = "") -> None:
        self.kubeconfig = kubeconfig
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKFLEET_")}
        command = [str(Path(sys.executable).with_name("taskfleet")), "controller", "--port", "0"]
        command += ["--kubeconfig", str(kubeconfig), "--worker-image", WORKER_IMAGE]
        command += ["--namespace", namespace] if namespace else []
        command += ["--lease", lease] if lease else []
        environment = {**inherited, "TASKFLEET_LOG_FORMAT": "json", "TASKFLEET_STORE_URL": store_url}
        self._popen = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            for line in stream:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"message": line.rstrip(), "level": "error"})

    def said(self, words: str) -> dict[str, Any] | None:
        """The first log line with ``words`` in its message or exception."""
        return next(
            (line for line in self.lines if words in line["message"] or words in line.get("exception", "")), None
        )

    def says(self, words: str, *, timeout: float = 20.0) -> dict[str, Any]:
        try:
            found = wait_until(
                lambda: self.said(words) or not self.running, f"the log to say {words!r}", timeout=timeout
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; it said {self.lines}") from None
        assert isinstance(found, dict), f"the controller ended: {self.lines}"
        return found

    def ask(self, path: str) -> tuple[int, str]:
        """Status and text of /healthz, /readyz or /metrics."""
        url = f"http://127.0.0.1:{self.says('controller started')['port']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def complaints(self) -> list[dict[str, Any]]:
        """Log lines that a person would have to look into."""
        return [line for line in self.lines if line["level"] in ("warning", "error", "critical")]

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: int) -> None:
        self._popen.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 20.0) -> int:
        """End it; gives the exit code."""
        if self.running:
            self.send(signal.SIGCONT)
            self.send(number)
        return self.ended(timeout)

    def ended(self, timeout: float = 20.0) -> int:
        """The exit code, once it has ended; for one that was told to."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise AssertionError(f"the controller did not end within {timeout:g} s: {self.lines[-5:]}") from None
        self._reader.join(5)
        return code
