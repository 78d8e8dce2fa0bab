"""Run as a script: become another program that ends when its parent does, however the parent ends.

``python -I -S tether.py SIGNAL PARENT_PID PROGRAM ARGUMENT...``. The kernel (Linux) sends SIGNAL when the parent dies.
A script and not a ``preexec_fn``: running Python between fork and exec is unsafe in a process with threads.
Elsewhere than on Linux it only starts the program.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    number, parent, program, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != int(parent):  # it died before we asked
            sys.exit(1)
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main()
