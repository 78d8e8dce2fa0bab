"""``make bench``: every benchmark that needs no package of its own, one after another, each a process of its own.

Figures of two runs, or of two machines, are not to be compared; ratios within one run are.
"""

import argparse
import subprocess
import sys

BENCHMARKS = ("store_throughput", "worker_throughput", "http_clients")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)} (default: all)")
    names = parser.parse_args().names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"\n== {name}", flush=True)
        ended = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        if ended:
            return ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
