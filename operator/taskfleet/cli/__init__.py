"""What comes before the imports of a command, which take most of a second.

The first process of a container never hears a signal that it has no handler for: one that is told to end while it still
begins would begin to work, and be killed in the middle of that at the end of its grace period.
"""

import os
import signal

TOLD_TO_END = 128 + signal.SIGTERM  # the exit code that a shell would show

if os.getpid() == 1:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(TOLD_TO_END))
