"""The broken manifests of ``tests/data/manifests/broken`` and what must be said of each: ``expected.txt`` beside it.

The texts in that table were printed by a real API server (through kubectl); tests hold both the offline validation
and the API server to them. Line numbers are ours: the API server knows none.
"""

import re
from pathlib import Path

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
BROKEN = sorted((MANIFESTS / "broken").glob("*.yaml"))
GOOD = sorted(path for path in (MANIFESTS / "good").iterdir())
SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))

# Read by no API server: kubectl fails over them in words of its own, or does not look.
NOT_YAML = frozenset(path.name for path in BROKEN if path.name.startswith("yaml-"))
_UNNAMED = (
    r"no matches for kind .*|resource name may not be empty|invalid resource name .*"
    r"|from \S+: cannot use generate name with apply"
)


def expected() -> dict[str, list[str]]:
    """By file name, the problems as ``LINE: TEXT``."""
    table: dict[str, list[str]] = {}
    for line in (MANIFESTS / "expected.txt").read_text("utf-8").splitlines():
        if line.startswith("## "):
            table[line.removeprefix("## ")] = problems = []
        elif line:
            problems.append(line)
    return table


def texts(problems: list[str]) -> set[str]:
    """Problems without their line numbers."""
    return {problem.partition(": ")[2] for problem in problems}


def said_by_kubectl(stderr: str) -> set[str]:
    """Every problem in what kubectl printed, one text for each, without the names of files."""
    found: set[str] = set()
    title = ""
    for line in stderr.splitlines():
        if match := re.fullmatch(r'(The \w+ "[^"]*" is invalid): ?(.*)', line):
            title = match[1]
            found |= {f"{title}: {match[2]}"} if match[2] else set()
        elif line.startswith("* "):
            found.add(f"{title}: {line.removeprefix('* ')}")
        elif match := re.search(r'when creating "[^"]*": (\w+)\.taskfleet\.dev ("[^"]*" is invalid: .*)', line):
            found.add(f"The {match[1]} {match[2]}")
        elif match := re.search(r"(\w+ in version .* strict decoding error): (.*)", line):
            found |= {f"{match[1]}: {problem}" for problem in re.findall(r'unknown field "[^"]*"', match[2])}
        elif match := re.search(r"error validating data: (.*?);", line):
            found |= set(match[1].strip("[]").split(", "))
        elif match := re.search(r'(unable to decode) "[^"]*": (.*)', line):
            found.add(f"{match[1]}: {match[2]}")
        elif match := re.search(f"({_UNNAMED})", line):
            found.add(match[1])
    return found
