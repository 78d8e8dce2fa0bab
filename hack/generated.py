"""Files that follow from other files: written by ``make generate``, compared by ``make verify``."""

import sys
from pathlib import Path


def settle(files: dict[Path, str], *, check: bool) -> list[Path]:
    """Those of ``files`` that were stale; they are written unless it is a check."""
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in () if check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], "utf-8")
    return stale


def remove_others(folder: Path, pattern: str, files: dict[Path, str], *, check: bool) -> list[Path]:
    """What is in the folder and follows from nothing any more; it is removed unless it is a check."""
    others = sorted(set(folder.glob(pattern)) - set(files))
    for path in () if check else others:
        path.unlink()
    return others


def is_check(arguments: list[str]) -> bool:
    """Whether to compare only. Ends the program when it is asked for anything else."""
    if arguments not in ([], ["--check"]):
        print(f"usage: python {sys.argv[0]} [--check]", file=sys.stderr)
        raise SystemExit(2)
    return bool(arguments)


def report(stale: list[Path], *, check: bool) -> int:
    """Say what was stale; the exit code, 1 when a check found something."""
    for path in stale:
        print(f"{path} is stale: run make generate" if check else f"wrote {path}", file=sys.stderr if check else None)
    return 1 if check and stale else 0
