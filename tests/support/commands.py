"""Commands of ours in this process, for tests of what they say: most of a process of its own would be its start."""

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout

from taskfleet.cli.main import run


def said_by(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command says and its exit code, through the same function as the script."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    for stream in (out, err):
        stream.seek(0)
    return subprocess.CompletedProcess(arguments, code, out.read(), err.read())
