"""How reviews.jsonl and heldout.jsonl came to be: ``python -m demo.choose_reviews FOLDER``.

FOLDER is ``additional_resources/hutto_ICWSM_2014`` of vaderSentiment 3.3.2 (see DATA.md). The same folder always
gives the same files. What is in neither file was free to be looked at while the prompt was written.
"""

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.prompt import PARAMETERS, messages_for

HERE = Path(__file__).parent
SOURCES = {"movie": "movieReviewSnippets", "product": "amazonReviewSnippets"}
CLEAR_RATING = 2.0  # on the raters' scale of -4 to 4
COUNTS = {"reviews.jsonl": {"movie": 112, "product": 63}, "heldout.jsonl": {"movie": 55, "product": 38}}  # per label

# A public file should read well in a talk: no swearing, no groups of people, no violence.
_UNWELCOME_WORDS = r"""
ass asses bastard\w* bitch\w* black blood\w* bondage christian\w* crap\w* cripple\w* damn dead death die[sd]?
drag drug\w* dumb\w* erotic\w* fat fetish\w* freak\w* fuck\w* gay hell holocaust hooker\w* idiot\w* incest\w*
jackass\w* jew\w* kill\w* lame lesbian masturbat\w* midget\w* moron\w* murder\w* muslim\w* naked nazi\w* nude
piss\w* poor porn\w* psycho\w* queer rape\w* retard\w* sadis\w* screw\w* sex\w* shit\w* slut\w* spastic
stepmom stupid\w* suck\w* toilet turd ugly white whor\w* women
"""
UNWELCOME = re.compile(rf"\b({'|'.join(_UNWELCOME_WORDS.split())})\b", re.IGNORECASE)
MARKUP = re.compile(r"[@\[\]()*_#<>&;/\\]|http|\.\.")
NAME_INSIDE = re.compile(r"\S\s+[A-Z]\w*[a-z]\w*|\b[A-Z]{2,}|\W[A-Z][a-z]")
COMMON_WORD_COUNT = 8  # a first word seen in small letters this often is not a name


@dataclass(frozen=True, slots=True)
class Review:
    """One rated text. ``rating`` is the mean of 20 people or more."""

    source: str
    source_id: str
    rating: float
    text: str

    @property
    def label(self) -> str:
        return "positive" if self.rating > 0 else "negative"

    def task_line(self) -> dict[str, Any]:
        return {
            "id": f"{self.source}-{self.source_id}",
            "messages": messages_for(self.text),
            "parameters": PARAMETERS,
            "metadata": {"label": self.label, "rating": round(self.rating, 2), "source": self.source},
        }


def main(folder: Path) -> None:
    """Write both files beside this module."""
    rated = [review for source in SOURCES for review in _read(folder, source)]
    common = _common_words(rated)
    chosen: dict[str, list[Review]] = {name: [] for name in COUNTS}
    used: list[set[str]] = []
    for source in SOURCES:
        clear = sorted((r for r in rated if r.source == source and _is_clear(r, common)), key=_shuffled)
        fresh = [review for review in clear if _is_fresh(review.text, used)]
        for label in ("positive", "negative"):
            candidates = iter(review for review in fresh if review.label == label)
            for name, counts in COUNTS.items():
                chosen[name] += [next(candidates) for _ in range(counts[source])]
    for name, reviews in chosen.items():
        lines = [json.dumps(review.task_line()) for review in sorted(reviews, key=lambda r: _shuffled(r, "o"))]
        (HERE / name).write_text("\n".join(lines) + "\n")


def _read(folder: Path, source: str) -> Iterator[Review]:
    path = folder / f"{SOURCES[source]}_GroundTruth.txt"
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        if line.strip():
            source_id, rating, text = line.split("\t", 2)
            yield Review(source, source_id, float(rating), " ".join(text.split()).replace("''", '"').strip())


def _is_clear(review: Review, common: Counter[str]) -> bool:
    """Short, clearly rated, plain text without names of people."""
    text = review.text
    first = re.match(r"\W*([A-Za-z']+)", text)
    return (
        abs(review.rating) >= CLEAR_RATING
        and 20 <= len(text) <= 140
        and len(text.split()) >= 4
        and text.isascii()
        and text.count('"') % 2 == 0
        and not any(pattern.search(text) for pattern in (UNWELCOME, MARKUP, NAME_INSIDE))
        and (first is None or first[1][0].islower() or common[first[1].removesuffix("'s").lower()] >= COMMON_WORD_COUNT)
    )


def _common_words(rated: list[Review]) -> Counter[str]:
    movies = (review.text for review in rated if review.source == "movie")  # the others are all in small letters
    return Counter(word for text in movies for word in re.findall(r"(?<![\w'])[a-z][a-z']*", text))


def _is_fresh(text: str, used: list[set[str]]) -> bool:
    """Whether no text before shares most of its words."""
    words = set(re.findall(r"[a-z']+", text.lower()))
    if any(len(words & other) > 0.6 * min(len(words), len(other)) for other in used):
        return False
    used.append(words)
    return True


def _shuffled(review: Review, salt: str = "") -> bytes:
    """A sort key that mixes well and never changes."""
    return hashlib.sha256((review.text + salt).encode()).digest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
