"""Clients of others that speak OpenAI's protocol, in a folder of their own: ``python hack/other_clients.py DIR``.

With ``TASKFLEET_CLIENTS=DIR`` the tests point them at the gateway. They need more than we do, and none of ours.
"""

import subprocess
import sys
import venv
from pathlib import Path

FROM_PYPI = ("langchain-openai", "litellm")
FROM_NPM = ("openai",)


def main(folder: Path) -> None:
    venv.create(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--upgrade", *FROM_PYPI], check=True)
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder)]
    subprocess.run([*npm, *FROM_NPM], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
