"""The demo's input: labelled task lines."""

from pathlib import Path
from typing import Any

import orjson

from demo.modelprocess import DemoFailed


def read_tasks(file: Path, count: int | None) -> list[dict[str, Any]]:
    """The first ``count`` tasks of a file (None: all). Raises DemoFailed when there are not as many."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise DemoFailed(f"--file {file}: {error.strerror}") from error
    tasks = [orjson.loads(line) for line in lines]
    if count is not None and count > len(tasks):
        raise DemoFailed(f"--tasks {count}: there are {len(tasks)} in {file}")
    return tasks[:count]
