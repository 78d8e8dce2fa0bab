"""A real small model, SmolLM2-135M, served as the demo serves it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@contextmanager
def serving_real_model() -> Iterator[str]:
    """Its base URL."""
    command = [sys.executable, "-m", "demo.model_server", "--port", "0"]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            line = server.stdout.readline()
            assert line.startswith("serving "), line
            yield line.split()[-1]
        finally:
            server.stdin.close()
            server.wait(20)
