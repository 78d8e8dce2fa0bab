"""Lists in pages, as OpenAI's: ``limit``, and ``after`` with the id of the last one that was seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from taskfleet.core.errors import InputError


@dataclass(frozen=True, slots=True)
class PageWanted:
    limit: int
    after: str | None


def page_wanted(request: Request, *, most: int, usual: int) -> PageWanted:
    """Raises InputError."""
    text = request.query_params.get("limit", str(usual))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise InputError(f"limit: {text[:40]!r} is not a number from 1 to {most}")
    return PageWanted(int(text), request.query_params.get("after"))


def page(found: Sequence[dict[str, Any]], wanted: PageWanted) -> dict[str, Any]:
    """A page of these, which are in order. Raises InputError when ``after`` is none of them."""
    start = 0
    if wanted.after is not None:
        start = next((at for at, each in enumerate(found, start=1) if each["id"] == wanted.after), 0)
        if not start:
            raise InputError(f"after: there is nothing with the id {wanted.after[:128]!r} in this list")
    data = list(found[start : start + wanted.limit])
    return listed(data, has_more=len(found) > start + wanted.limit)


def listed(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
