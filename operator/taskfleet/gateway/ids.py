"""Ids of files and batches. They sort by their time, so that a list of them needs no other index."""

import secrets
import time

PATTERN = "[0-9a-f]{24}"


def new_id() -> str:
    """A fresh one: milliseconds and 48 random bits, in hex."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
