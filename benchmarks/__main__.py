"""``make bench``: every benchmark, one after another, each a process of its own.

``ARGS="queue.drain growth"`` measures only the rows whose ids begin so; ``ARGS=--quick`` only tries whether all of it
runs. The rows are printed and written to ``benchmarks/results.json``. A whole run also writes ``docs/benchmarks.md``
with its plot: what is shown there is of one run, since figures of two runs or two machines are not to be compared.
"""

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import page
from benchmarks.machine import machine
from benchmarks.rows import ROUNDS, Findings

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Group:
    """Rows ``NAME.*``, measured by a module; ``seconds``: it begins no round that would end later (peers are installed
    before), ``limit``: it is ended then, whatever it does."""

    name: str
    module: str
    seconds: float
    limit: float


GROUPS = (
    Group("queue", "queue_engines", 2100, 2700),
    Group("scaling", "scaling", 150, 300),
    Group("growth", "growth", 240, 480),
    Group("partitions", "partitions", 60, 150),
    Group("worker", "worker_throughput", 60, 150),
    Group("dataset", "dataset", 200, 1200),
    Group("parallel", "parallel", 300, 1200),
    Group("http", "http_clients", 40, 120),
    Group("pure", "pure", 20, 60),
    Group("gateway", "gateway", 600, 1200),
    Group("streams", "gateway_streams", 150, 400),
    Group("batch", "gateway_batch", 120, 900),
    Group("soak", "gateway_soak", 120, 400),
)


def measure(group: Group, options: argparse.Namespace) -> Findings:
    """What the group found; nothing but a note when it broke or took too long."""
    only = [row for row in options.rows if row.partition(".")[0] == group.name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        command = [sys.executable, "-m", f"benchmarks.{group.module}", "--rows", str(file)]
        command += ["--rounds", str(options.rounds), "--seconds", str(group.seconds)]
        command += ["--quick"] if options.quick else []
        command += ["--only", *only] if only else []
        with subprocess.Popen(command) as process:
            try:
                process.wait(group.limit)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # so that it ends what it has started
        if not file.exists():
            why = f"it broke with exit code {process.returncode}, or was ended after {group.limit:.0f} s"
            return Findings(notes=[f"{group.name}: {why}"], missing=[group.name])
        return Findings.read(file)


def main() -> int:
    names = [group.name for group in GROUPS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"a group ({', '.join(names)}) or how its rows begin")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"the median of so many (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="one small round without peers: whether it runs at all")
    options = parser.parse_args()
    if unknown := {row.partition(".")[0] for row in options.rows} - set(names):
        parser.error(f"no rows begin with {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    where, began = machine(), time.time()
    print(where)
    found = Findings()
    for group in GROUPS:
        if not options.rows or any(row.partition(".")[0] == group.name for row in options.rows):
            print(f"\n== {group.name}", flush=True)
            found.add(measure(group, options))
    rows = [dataclasses.asdict(row) for row in found.rows]
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1, ensure_ascii=False) + "\n")
    print(f"\n{len(rows)} rows in {RESULTS}, after {time.time() - began:.0f} s")
    if not options.rows and not options.quick:
        page.write(found, where, options.rounds)
        print(f"written: {page.PAGE} and {page.PLOT}")
    if found.missing:
        print(f"not measured: {', '.join(found.missing)}", file=sys.stderr)
    return 1 if found.missing else 0


if __name__ == "__main__":
    sys.exit(main())
