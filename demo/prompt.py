"""The question put to the model, the same for every review: one word, after four examples.

Everything before the review itself is equal in all tasks, so the model server reads it once and keeps it.
"""

from collections.abc import Mapping
from typing import Any

INSTRUCTION = "You label reviews. Answer with one word: positive or negative."
EXAMPLES = (
    ("The battery died after two days and nobody answered my emails.", "negative"),
    ("A warm, funny film that I would happily watch again.", "positive"),
    ("The plot is dull and the jokes fall flat.", "negative"),
    ("Works perfectly, easy to set up, worth every penny.", "positive"),
)
PARAMETERS: Mapping[str, Any] = {"temperature": 0, "max_tokens": 4}


def messages_for(review: str) -> list[dict[str, str]]:
    """The conversation that ends with ``review`` and waits for its label."""
    messages = [{"role": "system", "content": INSTRUCTION}]
    for text, label in EXAMPLES:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    return [*messages, {"role": "user", "content": review}]
