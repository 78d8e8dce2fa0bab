"""Story: several judges vote on each answer, and how far they agree.

Every model of every server is a judge; where there is only one, it judges in three ways. ``python
examples/llm_as_judge.py [URL ...]``.
"""

import asyncio
import sys
from collections import Counter

from taskfleet import ParallelTaskQueue

ANSWERS = [
    ("What is the capital of France?", "Paris."),
    ("How many legs has a spider?", "A spider has three legs."),
    ("Is water wet?", "Yes, it is."),
    ("What is 2 + 2?", "Five."),
]
WAYS = (
    "You are a strict teacher. Is the answer right? Say yes or no.",
    "You check facts. Is the answer true? Say yes or no.",
    "Would an expert accept this answer? Say yes or no.",
)


def vote(text: str) -> str:
    words = text.lower().replace(".", " ").replace(",", " ").split()
    return next((word for word in words if word in ("yes", "no")), "no opinion")


async def main() -> None:
    async with ParallelTaskQueue(sys.argv[1:] or None) as queue:
        models = await queue.models()
        judges = [(model, way) for model in models for way in WAYS][: max(3, len(models))]
        ids = [
            await queue.submit(
                [
                    {"role": "system", "content": way},
                    {"role": "user", "content": f"Question: {question}\nAnswer: {answer}"},
                ],
                model=model,
                parameters={"temperature": 0, "max_tokens": 8},
            )
            for question, answer in ANSWERS
            for model, way in judges
        ]
        votes = await queue.wait_for_batch(ids)
    agreed = 0
    for number, (question, answer) in enumerate(ANSWERS):
        own = votes[number * len(judges) : (number + 1) * len(judges)]
        counts = Counter(vote(task.response or "") for task in own)
        winner, most = counts.most_common(1)[0]
        agreed += most
        print(f"{question} {answer} -> {winner} ({most} of {len(judges)})")
    print(f"agreement: {agreed / (len(ANSWERS) * len(judges)):.0%}")


asyncio.run(main())
