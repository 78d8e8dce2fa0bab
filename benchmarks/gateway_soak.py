"""What a gateway and its worker still hold after many calls of every kind: file descriptors and memory.

``python -m benchmarks.gateway_soak``; rows ``soak.*``. Laps of calls that are answered, streamed, refused, abandoned in
the middle, cut off, and of files and batches. The first laps fill what is kept on purpose; those after them are to add
nothing: the figures are the growth over them, once all is quiet.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import uvloop

from benchmarks.gateway_batch import begin, client_of, lines
from benchmarks.gateway_load import Caller, chat, load
from benchmarks.gateway_sides import MEBIBYTE, Ours, model_server, ours
from benchmarks.rows import Findings, Row, parser, tell
from tests.support.waiting import eventually

WARM_LAPS, LAPS = 6, 30
QUICK_LAPS = 1
CALLS, CALLERS, ABANDONED = 200, 20, 20
BATCH_LINES = 100
LAP_SECONDS = 120.0
QUIET_SECONDS = 7.0  # longer than a connection is kept for another request
_REFUSED = (b"{", b"[]", b'{"messages": []}', b'{"model": "none"}', b"\xff" * 1000)


def held(pids: Sequence[int]) -> tuple[int, float]:
    """Open file descriptors and MiB of these processes together, now."""
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    status = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return files, sum(int(each.partition("VmRSS:")[2].split()[0]) for each in status) / MEBIBYTE


async def lap(side: Ours, client: httpx.AsyncClient) -> None:
    """Some of everything."""
    await load(side.url, CALLERS, CALLS)
    await asyncio.gather(*(abandon(side.url, stream=number % 2 == 0) for number in range(ABANDONED)))
    for body in _REFUSED:
        answer = await client.post("/v1/chat/completions", content=body)
        assert 400 <= answer.status_code < 500, answer.text
    batch_id = await begin(client, lines(BATCH_LINES, 1000))

    async def completed() -> str | None:
        batch = (await client.get(f"/v1/batches/{batch_id}")).json()
        return batch["output_file_id"] if batch["status"] == "completed" else None

    output = await eventually(completed, "the batch to be completed", timeout=LAP_SECONDS)
    assert len((await client.get(f"/v1/files/{output}/content")).content.splitlines()) == BATCH_LINES
    for file in (await client.get("/v1/files")).json()["data"]:
        await client.delete(f"/v1/files/{file['id']}")


async def abandon(url: str, *, stream: bool) -> None:
    """Hang up in the middle of an answer, or of a request."""
    caller = await Caller.connect(url)
    if stream:
        await caller.begin(chat(stream=True))
        await caller.line()
    else:
        await caller.send_half(chat())
    caller.close()


async def soak(warm: int, laps: int) -> tuple[float, float]:
    """Descriptors and MiB that the laps after the warm ones added."""
    with model_server(0.002) as model:
        async with ours(model) as side:
            for count in (warm, laps):
                async with client_of(side) as client:
                    for _ in range(count):
                        await lap(side, client)
                if count == warm:
                    before = await quiet(side)
            after = await quiet(side)
            return after[0] - before[0], after[1] - before[1]


async def quiet(side: Ours) -> tuple[int, float]:
    """What is held once no connection of a caller is open any more."""
    await asyncio.sleep(QUIET_SECONDS)
    return held(side.pids)


def measure(options: argparse.Namespace) -> list[Row]:
    warm, laps = (QUICK_LAPS, QUICK_LAPS) if options.quick else (WARM_LAPS, LAPS)
    files, memory = uvloop.run(soak(warm, laps))
    return [
        Row("soak.open_files_added", "files", files, "lower"),
        Row("soak.memory_added", "MiB", memory, "lower"),
    ]


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(Findings(measure(options)), options)


if __name__ == "__main__":
    sys.exit(main())
