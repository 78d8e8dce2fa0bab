"""Write ``docs/reference/openapi.json``, or with ``--check`` fail when it is not what the gateway serves."""

import sys
from pathlib import Path

from taskfleet.gateway.openapi import document

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "openapi.json"


def main() -> None:
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_bytes() != document():
            sys.exit(f"{PAGE.name} is stale; run make generate")
        return
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_bytes(document())


if __name__ == "__main__":
    main()
