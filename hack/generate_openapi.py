"""Write ``docs/reference/openapi.json`` as the gateway serves it: ``python hack/generate_openapi.py [--check]``."""

import sys
from pathlib import Path

from generated import is_check, report, settle

from taskfleet.gateway.openapi import document

PAGE = Path("docs/reference/openapi.json")


def main(check: bool) -> int:
    """Write the document; as a check write nothing and return 1 when it is stale."""
    return report(settle({PAGE: document().decode()}, check=check), check=check)


if __name__ == "__main__":
    sys.exit(main(is_check(sys.argv[1:])))
