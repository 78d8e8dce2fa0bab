"""Commands of ours in this process, through the same function as the script: most of a process of its own would be its
start."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from taskfleet.cli.main import run


@dataclass
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The only line of stdout."""
        (line,) = self.out.splitlines()
        value: dict[str, Any] = json.loads(line)
        return value

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Taskfleet = Callable[..., Done]


@pytest.fixture
def taskfleet(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Taskfleet:
    """Run a command line; ``stdin`` is what it reads."""
    redirected = tmp_path_factory.mktemp("redirected") / "stdin"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(redirected.parent))  # what this machine's user has set is not ours

    def call(*arguments: object, stdin: bytes = b"") -> Done:
        redirected.write_bytes(stdin)
        capfd.readouterr()
        with redirected.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = run([str(argument) for argument in arguments])
        sys.stdout.flush()
        printed = capfd.readouterr()
        return Done(code, printed.out, printed.err)

    return call
