"""The engines that are measured side by side, and an environment for each peer: installed once, never into ours.

Peers come from the package index (Python's, and npm's for BullMQ) into ``benchmarks/.peers/``, which git ignores. One
that cannot be had is not measured, and the page says why.
"""

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ADAPTERS = HERE / "engines"
ENVIRONMENTS = HERE / ".peers"
INSTALL_SECONDS = 480


class Unavailable(Exception):
    """This peer cannot be measured here; the text says why, for the page."""


@dataclass(frozen=True, slots=True)
class Engine:
    """``packages`` are installed for it, their bare names are told with versions; it runs in our own environment when
    there are none. A drain of ``drained`` tasks by one process takes a second or more."""

    name: str
    adapter: str
    drained: int
    packages: tuple[str, ...] = ()
    variant: str = ""
    note: str = ""

    @property
    def is_node(self) -> bool:
        return self.adapter.endswith(".mjs")

    @property
    def place(self) -> Path:
        """The folder of its environment; engines with the same packages share one."""
        return ENVIRONMENTS / "-".join(map(_bare, self.packages))


OURS = "taskfleet"
FLOOR = "floor"
LITELLM = "litellm"
_TASKIQ = ("taskiq", "taskiq-redis", "redis", "uvloop")
ENGINES = (
    Engine(OURS, "on_taskfleet.py", 20_000),
    Engine(FLOOR, "on_floor.py", 40_000, note="a bare batching loop on valkey-py with leases; no engine"),
    Engine("bullmq", "on_bullmq.mjs", 10_000, ("bullmq", "ioredis"), note="concurrency 100"),
    Engine("taskiq stream", "on_taskiq.py", 5000, _TASKIQ, "stream"),
    Engine("taskiq list", "on_taskiq.py", 5000, _TASKIQ, "list", note="no acknowledgement"),
    Engine("dramatiq", "on_dramatiq.py", 4000, ("dramatiq[redis]", "redis"), note="8 threads; no bulk call"),
    Engine("streaq", "on_streaq.py", 2000, ("streaq", "coredis", "uvloop"), note="concurrency 16"),
    Engine(
        "saq", "on_saq.py", 3000, ("saq[redis,hiredis]", "redis", "uvloop", "typing_extensions"), note="concurrency 10"
    ),
    Engine("arq", "on_arq.py", 600, ("arq", "redis", "uvloop"), note="default poll of 0.5 s"),
    Engine("celery", "on_celery.py", 2000, ("celery[redis]", "redis"), note="prefork, one child; no bulk call"),
    Engine("rq", "on_rq.py", 600, ("rq", "redis"), note="SimpleWorker"),
)


def prepare(engine: Engine) -> list[str]:
    """The command that runs the engine's adapter, after installing what it needs. Errors: Unavailable."""
    adapter = str(ADAPTERS / engine.adapter)
    if not engine.packages:
        return [sys.executable, adapter]
    node = shutil.which("node")
    if engine.is_node and (node is None or shutil.which("npm") is None):
        raise Unavailable("node and npm are not installed here")
    installed = engine.place / "installed"
    if not installed.exists():
        engine.place.mkdir(parents=True, exist_ok=True)
        (_install_from_npm if engine.is_node else _install)(engine)
        installed.touch()  # last: an interrupted installation is done again
    return [node if engine.is_node and node else str(_python(engine)), adapter]


def versions(engine: Engine) -> str:
    """Of an engine that was prepared: its packages with their versions, "" for one in our own environment."""
    names = [_bare(package) for package in engine.packages]
    if engine.is_node:
        files = (engine.place / "node_modules" / name / "package.json" for name in names)
        found = [json.loads(file.read_text())["version"] for file in files]
    elif names:
        code = f"from importlib.metadata import version; print(*map(version, {names!r}))"
        found = subprocess.check_output([_python(engine), "-c", code], text=True).split()
    else:
        found = []
    return ", ".join(f"{name} {version}" for name, version in zip(names, found, strict=True))


def _install(engine: Engine) -> None:
    venv.create(engine.place)
    pip = [sys.executable, "-m", "pip", "--python", str(_python(engine)), "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", *engine.packages])


def _install_from_npm(engine: Engine) -> None:
    _run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(engine.place), *engine.packages])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"it could not be installed within {INSTALL_SECONDS} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no word why"]
        raise Unavailable(f"it could not be installed: {last[0]}")


def _python(engine: Engine) -> Path:
    return engine.place / "bin" / "python"


def _bare(package: str) -> str:
    return package.partition("[")[0]
