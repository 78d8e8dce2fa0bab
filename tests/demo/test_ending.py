"""Servers of the demo go on in the background, and go with who started them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]


@contextmanager
def site(stdin: int) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The demo's site and its address."""
    command = [sys.executable, "-m", "demo.site", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()[0]
        finally:
            process.kill()


def test_without_a_terminal_a_server_serves_until_it_is_told_to_end() -> None:
    with site(subprocess.DEVNULL) as (process, address):
        for _ in range(20):
            with urlopen(address, timeout=30) as answer:
                assert answer.status == 200
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_a_server_ends_when_whoever_holds_its_input_does() -> None:
    with site(subprocess.PIPE) as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
