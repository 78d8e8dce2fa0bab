"""What the tests start behaves as at a terminal, however the tests themselves were started."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
TEST_RUN = f"""
import subprocess, sys
from tests.support.programs import let_programs_heed_ctrl_c
let_programs_heed_ctrl_c()
subprocess.run([sys.executable, "-c", {PROGRAM!r}], check=True)
"""


def test_programs_heed_ctrl_c_when_the_tests_run_in_the_background_of_a_shell() -> None:
    in_background = ["sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable]
    ignoring = subprocess.run([*in_background, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ignoring.stdout == "False\n", "the shell hands its SIGINT on"
    run = subprocess.run([*in_background, "-c", TEST_RUN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"
