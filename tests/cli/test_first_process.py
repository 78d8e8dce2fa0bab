"""A command that is the first process of a container, which the kernel keeps from signals without a handler."""

import signal
import subprocess
import sys

import pytest

FIRST = "import os; os.getpid = lambda: 1"
BEGINS = "import signal, taskfleet.cli; signal.raise_signal(signal.SIGTERM); print('it goes on')"


@pytest.mark.parametrize(("script", "code"), [(f"{FIRST}; {BEGINS}", 143), (BEGINS, -signal.SIGTERM)])
def test_told_to_end_while_it_still_begins_it_ends_at_once(script: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (code, b""), done.stderr


def test_the_kernel_would_keep_it_going_without_that() -> None:
    """As in a container, if this machine lets us be first somewhere."""
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.executable, "-c"]
    if subprocess.run([*alone, "pass"], capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("NO PROCESS NAMESPACES: this machine lets nobody make one")
    ends, goes_on = (
        subprocess.run([*alone, script], capture_output=True, timeout=30, check=False)
        for script in (
            "import os, signal, taskfleet.cli; os.kill(os.getpid(), signal.SIGTERM); print('it goes on')",
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM); print('it goes on')",
        )
    )
    assert (ends.returncode, ends.stdout) == (143, b""), ends.stderr
    assert (goes_on.returncode, goes_on.stdout) == (0, b"it goes on\n"), goes_on.stderr
