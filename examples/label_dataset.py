"""Story: label a large dataset. Stop it at any moment, also with SIGKILL: the same command goes on where it was.

``python examples/label_dataset.py REVIEWS.jsonl LABELS.jsonl [URL ...]``; a review is a line ``{"text": ...}``.
"""

import asyncio
import sys
from pathlib import Path

from taskfleet import ParallelTaskQueue

EXAMPLES = (
    ("The battery died after two days and nobody answered my emails.", "negative"),
    ("A warm, funny film that I would happily watch again.", "positive"),
    ("The plot is dull and the jokes fall flat.", "negative"),
    ("Works perfectly, easy to set up, worth every penny.", "positive"),
)


def question(row: dict[str, str]) -> list[dict[str, str]]:
    """The conversation that ends with a row's text and waits for its label."""
    messages = [{"role": "system", "content": "You label reviews. Answer with one word: positive or negative."}]
    for text, label in EXAMPLES:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    return [*messages, {"role": "user", "content": row["text"]}]


async def main(reviews: Path, labels: Path, urls: list[str]) -> None:
    async with ParallelTaskQueue(urls or None, max_workers=8) as queue:
        summary = await queue.process_dataset(
            reviews,
            prompt=question,
            parameters={"temperature": 0, "max_tokens": 4},
            checkpoint=labels.with_suffix(".checkpoint"),
            output=labels,
        )
    print(f"{summary.completed} of {summary.rows} labelled in {summary.seconds:.1f} s, {summary.failed} failed")
    print(f"{summary.input_tokens} tokens read, {summary.output_tokens} written, labels in {summary.output}")


if len(sys.argv) < 3:
    sys.exit(__doc__)
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
