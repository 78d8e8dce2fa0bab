"""``make chaos``: one run, its table, its JSON. Exit code 1 when a promise is broken."""

import dataclasses
import platform
import signal
import sys
import time

import orjson
import uvloop

from chaos.checks import judge
from chaos.options import Options, parse
from chaos.peers import compare
from chaos.report import figures, table
from chaos.run import run

BROKEN = 1
INTERRUPTED = 130


def tell(text: str) -> None:
    print(text, flush=True)


def chaos(options: Options) -> int:
    """Run, report, and say whether all promises hold."""
    tell(f"seed {options.seed}: {options.tasks} tasks, {options.workers} workers, appendfsync {options.fsync}")
    began = time.monotonic()
    evidence = uvloop.run(run(options, tell))
    numbers, findings = figures(evidence), judge(evidence)
    numbers["seconds"] = round(time.monotonic() - began, 1)
    tell("\n" + table(numbers, findings))
    broken = [finding for finding in findings if finding.broken_by]
    options.out.write_bytes(
        orjson.dumps(
            {
                "options": {**dataclasses.asdict(options), "out": None},
                "python": platform.python_version(),
                "figures": numbers,
                "promises": {finding.promise: list(finding.broken_by) for finding in findings},
            },
            option=orjson.OPT_INDENT_2,
        )
        + b"\n"
    )
    if broken:
        tell(f"\n{len(broken)} promises are broken; --seed {options.seed} makes the same troubles. All: {options.out}")
        return BROKEN
    tell(f"\nall promises hold (seed {options.seed}); written to {options.out}")
    return 0


def peers(options: Options) -> int:
    """The kill of one worker, for Taskfleet and for others."""
    outcomes = uvloop.run(compare.compare(tell))
    tell("\n" + compare.table(outcomes))
    written = {"peers": {name: dataclasses.asdict(outcome) for name, outcome in outcomes.items()}}
    options.out.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


def main() -> int:
    options = parse(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a shell too: nothing we started stays
        signal.signal(number, signal.default_int_handler)
    try:
        return peers(options) if options.peers else chaos(options)
    except KeyboardInterrupt:
        tell("stopped")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
