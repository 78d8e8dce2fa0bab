"""Embeddings in the encoding that was asked for. Pure.

OpenAI's clients ask for base64 by themselves, and the one for Node reads nothing else; some model servers know only
numbers.
"""

import base64
import struct
from collections.abc import Mapping
from typing import Any


def encoded(answer: Mapping[str, Any], asked: Any) -> Mapping[str, Any]:
    """The answer to a request for embeddings whose ``encoding_format`` was ``asked``: as base64 of 32-bit floats,
    lowest byte first, where that was "base64" and the server gave numbers."""
    data = answer.get("data")
    if asked != "base64" or not isinstance(data, list):
        return answer
    return {**answer, "data": [_as_base64(each) for each in data]}


def _as_base64(item: Any) -> Any:
    vector = item.get("embedding") if isinstance(item, Mapping) else None
    if not isinstance(vector, list):
        return item
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except (struct.error, OverflowError):  # no vector that a client could read: shown as it came
        return item
    return {**item, "embedding": base64.b64encode(packed).decode()}
