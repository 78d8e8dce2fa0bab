"""Code of the caller that runs in the midst of ours: a prompt function, a callback, what reads a dataset's rows."""

import asyncio

RAISED = (Exception, asyncio.CancelledError, GeneratorExit, SystemExit)
"""What such code may raise that is its own affair: all but Ctrl-C, which is meant for the whole program."""

MOST_TEXT = 10_000


def text_of(error: BaseException) -> str:
    """What it says, as text that can be written down and kept: an error may be about text that is none, or quote all of
    it."""
    try:
        return str(error)[:MOST_TEXT].encode(errors="backslashreplace").decode()
    except Exception:  # it cannot even be read
        return ""


def words_of(error: BaseException) -> str:
    """``KeyError: 'x'``"""
    kind, text = type(error).__name__, text_of(error)
    return f"{kind}: {text}" if text else kind
