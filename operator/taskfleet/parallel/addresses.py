"""The web addresses in a text. Pure."""

import re
from collections.abc import Iterator

_URL = re.compile(r"https?://[^\s<>\"'`{}|\\^\[\]]+", re.IGNORECASE)
_BEHIND_A_URL = ".,;:!?*_"


def addresses(text: str) -> Iterator[str]:
    """In their order, without the marks that a sentence or Markdown puts behind them, and with brackets that are their
    own."""
    for match in _URL.finditer(text):
        url = match[0].rstrip(_BEHIND_A_URL)
        while url.endswith(")") and url.count(")") > url.count("("):
            url = url[:-1].rstrip(_BEHIND_A_URL)
        yield url
