"""``make bench``: every benchmark, one after another, each a process of its own; ``ARGS="NAME..."`` runs only those.

The rows of the run are also written to ``benchmarks/results.json``. Figures of two runs, or of two machines, are not to
be compared; ratios within one run are.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import machine, read, write

BENCHMARKS = ("store_throughput", "store_clients", "worker_throughput", "http_clients")
RESULTS = Path(__file__).with_name("results.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)} (default: all)")
    names = parser.parse_args().names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    print(machine())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            print(f"\n== {name}", flush=True)
            file = Path(folder, f"{name}.json")
            ended = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--rows", file], check=False).returncode
            if ended:
                return ended
            rows += read(file)
    write(RESULTS, rows)
    print(f"\n{len(rows)} rows in {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
