"""Says what to install where the bare client is not enough."""

import contextlib
from collections.abc import Iterator

from taskfleet.core.errors import InputError

NOT_INSTALLED = 'this needs more than the client: pip install "taskfleet[sdk]" (missing: {})'


@contextlib.contextmanager
def what_is_missing() -> Iterator[None]:
    """Raises InputError when an import inside does not find its package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(NOT_INSTALLED.format(error.name)) from error
