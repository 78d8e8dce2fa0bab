"""What the gateway adds to a call, beside LiteLLM's proxy and a bare pass-through, in front of the same model server.

``python -m benchmarks.gateway [--rounds 5]``; rows ``gateway.*``. The model server takes 0, 20 and 500 ms. Ours has
all that it is used with in between: an API key, the durable queue, a worker under a rate limit, metrics.
"""

import argparse
import sys
from collections.abc import Mapping

import uvloop

from benchmarks.gateway_load import fitting, load
from benchmarks.gateway_sides import PASS_THROUGH, SIDES, model_server, peer_version
from benchmarks.peers import LITELLM, OURS, Unavailable
from benchmarks.rows import Better, Findings, Row, medians, parser, rounds, tell

LATENCIES = (0, 20, 500)  # of the model server, in milliseconds
AT_ONCE = 32
SECONDS = 3.0  # of each run
FEW_CALLS = 10  # of half a second each
QUICK_SECONDS = 0.2
PEERS = (LITELLM, PASS_THROUGH)
_MEANINGS: Mapping[str, tuple[str, Better]] = {
    **{f"added_p50_at_{latency}_ms": ("ms", "lower") for latency in LATENCIES},
    "added_p99_at_0_ms": ("ms", "lower"),
    "rate_at_0_ms": ("req/s", "higher"),
    "rate_at_20_ms": ("req/s", "higher"),
    "cpu_of_1000_requests": ("s", "lower"),
    "memory": ("MiB", "lower"),
}

Figures = dict[str, float]


async def one_by_one(url: str, latency: int, seconds: float) -> tuple[float, float]:
    """p50 and p99 of a single caller, in milliseconds."""
    few = latency >= 100
    calls = FEW_CALLS if few else await fitting(url, 1, seconds)
    found = await load(url, 1, calls)
    return found.milliseconds(0.5), found.milliseconds(0.99)


async def measure_side(name: str, model: str, latency: int, seconds: float) -> Figures:
    """One side in front of one model server. Raises Unavailable."""
    bare = await one_by_one(model.removesuffix("/v1"), latency, seconds)
    async with SIDES[name](model) as side:
        p50, p99 = await one_by_one(side.url, latency, seconds)
        found = {f"added_p50_at_{latency}_ms": p50 - bare[0]}
        if latency == 0:
            found["added_p99_at_0_ms"] = p99 - bare[1]
        if latency < 100:
            calls = await fitting(side.url, AT_ONCE, seconds)
            before = side.cpu_seconds()
            found[f"rate_at_{latency}_ms"] = (await load(side.url, AT_ONCE, calls)).rate
            if latency == 0:
                found["cpu_of_1000_requests"] = 1000 * (side.cpu_seconds() - before) / calls
                found["memory"] = side.memory()
        return found


async def measure(name: str, *, quick: bool) -> Figures:
    """One side in front of each model server."""
    found: Figures = {}
    for latency in LATENCIES[:1] if quick else LATENCIES:
        with model_server(latency / 1000) as model:
            found |= await measure_side(name, model, latency, QUICK_SECONDS if quick else SECONDS)
    return found


def figures(options: argparse.Namespace) -> tuple[dict[str, list[Figures]], list[str]]:
    """Of each side in each round, and why one was not measured. The sides take turns within a round."""
    found: dict[str, list[Figures]] = {name: [] for name in (OURS, *(() if options.quick else PEERS))}
    notes: list[str] = []
    for _ in rounds(options):
        for name in list(found):
            try:
                found[name].append(uvloop.run(measure(name, quick=options.quick)))
            except Unavailable as error:
                notes.append(f"gateway: {name}: {error}")
                del found[name]
    return found, notes


def main() -> int:
    options = parser(__doc__).parse_args()
    measured, notes = figures(options)
    sides = {name: medians(each) for name, each in measured.items()}
    mine, others = sides.pop(OURS, {}), () if options.quick else PEERS
    rows = [
        Row(f"gateway.{name}", unit, mine[name], better, {side: sides.get(side, {}).get(name) for side in others})
        for name, (unit, better) in _MEANINGS.items()
        if name in mine
    ]
    versions = {LITELLM: peer_version()} if LITELLM in sides else {}
    return tell(Findings(rows, notes, versions, [] if mine else ["gateway"]), options)


if __name__ == "__main__":
    sys.exit(main())
