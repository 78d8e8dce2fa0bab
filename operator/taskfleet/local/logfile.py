"""What the parts of `up` log: in a file, whole, and as one line for the person who looks at the view."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskfleet.embedded.process import keep_small
from taskfleet.telemetry.logs import FORMAT_VARIABLE, LEVEL_VARIABLE, configure_logs


class _Teller(logging.Handler):
    """Warnings and errors as sentences, without their tracebacks."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self._tell(record.getMessage() + (f": {cause or type(cause).__name__}" if cause is not None else ""))


@contextmanager
def logs_in(file: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Send all logs to ``file`` and warnings also to ``tell``, until the end of the block."""
    keep_small(file)
    with file.open("a") as stream:
        configure_logs({FORMAT_VARIABLE: "text", LEVEL_VARIABLE: "info"}, stream)
        logging.getLogger().addHandler(_Teller(tell))
        logging.getLogger("httpx").setLevel(logging.WARNING)  # or every probe is a line
        try:
            yield
        finally:
            logging.basicConfig(handlers=[logging.NullHandler()], force=True)
