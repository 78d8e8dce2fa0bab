"""The guide to troubles quotes what the code says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text()
CODE = "".join(path.read_text() for path in sorted((ROOT / "operator").rglob("*.py")))
# Written as a kind or field and a value, or put together from parts.
PUT_TOGETHER = {
    "it is paused until": ("it is {stats.pause}", "paused until {end}"),
    "autoscaling.mode is External and spec.replicas is 0": (
        "autoscaling.mode is External and spec.replicas is {wanted}",
    ),
    "stopPolicy is Hold": ("stopPolicy is {stop.value}",),
    "EndpointsHealthy is False": ('kind = "EndpointsHealthy"', "{kind} is {condition['status']}"),
}


def quotes() -> list[str]:
    """What the first column of the table has between backticks."""
    rows = re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE)
    return [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("quote", quotes())
def test_a_quoted_sentence_is_one_of_the_code(quote: str) -> None:
    for part in PUT_TOGETHER.get(quote, (quote,)):
        assert part in CODE, f"{part!r} is said nowhere"
