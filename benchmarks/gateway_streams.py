"""A thousand open streams on one gateway: whether each gets its answer whole and in order, and how late it begins.

``python -m benchmarks.gateway_streams [--rounds 5]``; rows ``streams.*``. They begin one after another, so fast that
all are open at once; the model server says a numbered piece on each of them every second.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass

import orjson
import uvloop

from benchmarks.gateway_load import Caller, chat
from benchmarks.gateway_sides import model_server, ours
from benchmarks.rows import Findings, Row, medians, parser, rounds, tell

STREAMS, QUICK_STREAMS = 1000, 20
PIECE_SECONDS, QUICK_PIECE_SECONDS = 1.0, 0.05
PIECES = 12
BEGUN_IN_SECONDS = 6.0
STREAM_SECONDS = 120.0
_BODY = chat(stream=True)
_WHOLE = [f"{number} " for number in range(PIECES)]


@dataclass(frozen=True, slots=True)
class Heard:
    """Of all streams: how many were open at once, those that were not whole, and seconds to each one's first piece."""

    most_open: int
    broken: int
    first: list[float]

    def milliseconds(self, share: float) -> float:
        return 1000 * sorted(self.first)[int(share * len(self.first))]


async def listen(url: str, streams: int) -> Heard:
    """Begin so many, and hear each to its end."""
    still_open = most_open = broken = 0
    first: list[float] = []

    async def one(number: int) -> None:
        nonlocal still_open, most_open, broken
        await asyncio.sleep(number * BEGUN_IN_SECONDS / STREAMS)
        caller = await Caller.connect(url)
        began, pieces, ended = time.perf_counter(), [], False
        await caller.begin(_BODY)
        still_open += 1
        most_open = max(most_open, still_open)
        while not ended:
            line = await caller.line()
            ended = line == b"" or line.startswith(b"data: [DONE]")
            if not ended and line.startswith(b"data: "):
                for choice in orjson.loads(line[6:])["choices"]:
                    if piece := choice["delta"].get("content"):
                        if not pieces:
                            first.append(time.perf_counter() - began)
                        pieces.append(piece)
        still_open -= 1
        broken += pieces != _WHOLE
        caller.close()

    async with asyncio.timeout(STREAM_SECONDS):
        await asyncio.gather(*(one(number) for number in range(streams)))
    return Heard(most_open, broken, first)


async def one_round(streams: int, piece_seconds: float) -> dict[str, float]:
    with model_server(piece_seconds, PIECES) as model:
        bare = await listen(model.removesuffix("/v1"), streams)
        async with ours(model, concurrency=streams) as side:
            heard = await listen(side.url, streams)
            return {
                "open_at_once": float(heard.most_open),
                "broken": float(heard.broken),
                "first_token_added_p50": heard.milliseconds(0.5) - bare.milliseconds(0.5),
                "first_token_added_p99": heard.milliseconds(0.99) - bare.milliseconds(0.99),
                "memory": side.memory(),
            }


def measure(options: argparse.Namespace) -> list[Row]:
    streams, piece = (QUICK_STREAMS, QUICK_PIECE_SECONDS) if options.quick else (STREAMS, PIECE_SECONDS)
    each = [uvloop.run(one_round(streams, piece)) for _ in rounds(options)]
    found = medians(each) | {"broken": sum(one["broken"] for one in each)}
    return [
        Row("streams.open_at_once", "streams", found["open_at_once"], "higher"),
        Row("streams.broken", "streams", found["broken"], "lower"),
        Row("streams.first_token_added_p50", "ms", found["first_token_added_p50"], "lower"),
        Row("streams.first_token_added_p99", "ms", found["first_token_added_p99"], "lower"),
        Row("streams.memory", "MiB", found["memory"], "lower"),
    ]


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(Findings(measure(options)), options)


if __name__ == "__main__":
    sys.exit(main())
