"""Story: label a large dataset. Stop it at any moment, also with SIGKILL: the same command goes on where it was.

``python examples/label_dataset.py REVIEWS.jsonl LABELS.jsonl [URL ...]``; a review is a line ``{"text": ...}``.
"""

import asyncio
import sys
from pathlib import Path

from taskfleet import ParallelTaskQueue

PROMPT = """\
Label the review with one word, positive or negative.
Review: The battery died after two days. Label: negative
Review: A warm, funny film. Label: positive
Review: {text} Label:"""


async def main(reviews: Path, labels: Path, urls: list[str]) -> None:
    async with ParallelTaskQueue(urls or None, max_workers=8) as queue:
        summary = await queue.process_dataset(
            reviews,
            prompt=PROMPT,
            parameters={"temperature": 0, "max_tokens": 4},
            checkpoint=labels.with_suffix(".checkpoint"),
            output=labels,
        )
    print(f"{summary.completed} of {summary.rows} labelled in {summary.seconds:.1f} s, {summary.failed} failed")
    print(f"{summary.input_tokens} tokens read, {summary.output_tokens} written, labels in {summary.output}")


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
