"""``make demo``: the model server, ``taskfleet up``, one batch, and what came of it."""

import asyncio
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.figures import Sample, figures, rows
from demo.fleet import Fleet, manifests_for, running_fleet
from demo.modelprocess import DemoFailed, model_server, one_after_another, warm_up
from demo.options import Options, parse
from demo.outputs import Outputs
from demo.screen import Screen
from demo.tasks import read_tasks
from demo.timeline import Moment, course, moment, submit_time

FAILED = 1
INTERRUPTED = 130
LONGEST_SECONDS = 1200.0


async def run(options: Options, screen: Screen) -> int:
    """The whole demo; its exit code. Raises DemoFailed."""
    tasks = read_tasks(options.file, options.tasks)
    outputs = Outputs(options.out)
    outputs.save_tasks(tasks)
    screen.say("starting SmolLM2-135M behind llama.cpp's OpenAI-compatible server")
    async with model_server() as (server, url):
        screen.say(f"model server at {url}; reading what all prompts begin with")
        await warm_up(url, tasks)
        calls = min(options.sample, len(tasks))
        before = await _sample(url, tasks[len(tasks) - calls // 2 :], screen)
        with tempfile.TemporaryDirectory(prefix="taskfleet-demo-") as folder:
            manifests = manifests_for(url, Path(folder))
            async with running_fleet(manifests, Path(folder) / "data") as fleet:
                screen.say(f"taskfleet up -f manifests/quickstart/, then submit {len(tasks)} reviews")
                moments = await _unless_gone(server, _batch(fleet, len(tasks), outputs, screen))
        after = await _sample(url, tasks[: calls - calls // 2], screen)
    sample = before + after if calls else None
    return _report(outputs, moments, sample, screen)


async def _sample(url: str, tasks: list[dict[str, Any]], screen: Screen) -> Sample:
    """Some calls one after another: the file's last before the run and its first after it.

    On both sides, so that a machine that becomes busier or less busy meanwhile favours nobody; and those ends, so
    that the server has long forgotten each text when it comes to it again.
    """
    sample = await one_after_another(url, tasks)
    if sample.calls:
        pace = f"{sample.calls_per_second:.1f} tasks/s"
        screen.say(f"for comparison, {sample.calls} of the calls one after another: {pace}")
    return sample


async def _batch(fleet: Fleet, total: int, outputs: Outputs, screen: Screen) -> list[Moment]:
    """Submit, follow until all workers are gone again, and save the results."""
    moments: list[Moment] = []
    submitting: asyncio.Task[str] | None = None
    submitted_at: float | None = None
    async with asyncio.timeout(LONGEST_SECONDS):
        async for line in fleet.lines():
            if "snapshot" not in line:
                continue
            if submitting is None:  # the first snapshot says that `up` is ready
                submitting = asyncio.create_task(fleet.submit(outputs.tasks))
            submitted_at = submitted_at or submit_time(line)
            if submitted_at is None:
                if submitting.done():
                    submitting.result()  # nothing was submitted: say why
                continue
            moments.append(moment(line, submitted_at))
            screen.show(moments[-1], total)
            if moments[-1].finished >= total and not moments[-1].workers:
                await fleet.save_results(await submitting, outputs.results)
                return moments
    raise DemoFailed("taskfleet up ended before the tasks did")


async def _unless_gone(server: Process, work: Coroutine[Any, Any, list[Moment]]) -> list[Moment]:
    """The result of ``work``; DemoFailed when the model server ends before."""
    working, gone = asyncio.create_task(work), asyncio.create_task(server.wait())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise DemoFailed(f"the model server ended with exit code {gone.result()}")
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


def _report(outputs: Outputs, moments: list[Moment], sample: Sample | None, screen: Screen) -> int:
    """The table, from the results as they are in the file, and the picture."""
    results = outputs.read_results()
    numbers = figures(results)
    workers = course([0, *(at.workers for at in moments)])
    outputs.save_timeline(moments)
    outputs.save_summary(numbers, sample, workers)
    screen.table(rows(numbers, sample, workers))
    screen.say("drawing the picture")
    outputs.save_picture(numbers, results, moments, sample)
    screen.say(f"results in input order   {outputs.results}")
    screen.say(f"these figures            {outputs.summary}")
    screen.say(f"picture                  {outputs.picture}")
    return FAILED if numbers.failed else 0


def main() -> int:
    options = parse(sys.argv[1:])
    with Screen(Console(highlight=False)) as screen:
        try:
            return asyncio.run(run(options, screen))
        except DemoFailed as error:
            screen.say(f"demo: {error}")
            return FAILED
        except KeyboardInterrupt:
            screen.say("stopped")
            return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
