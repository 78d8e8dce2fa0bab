"""When a server of the demo ends."""

import os
import stat
import sys
from contextlib import suppress
from threading import Event


def until_ended() -> None:
    """Until Ctrl-C, or until whoever holds the other end of standard input lets it go: then the server goes with its
    starter, whatever ended that. A terminal or /dev/null is held by nobody: in the background a server goes on."""
    with suppress(KeyboardInterrupt):
        if stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode):
            Event().wait()
        else:
            sys.stdin.read()
