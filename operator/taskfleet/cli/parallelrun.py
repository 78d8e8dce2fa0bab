"""``taskfleet parallel run`` and ``cancel``: drive a run to its end."""

import asyncio
from pathlib import Path
from typing import Any

import click

from taskfleet.api.pipelines import Pipeline, load_pipeline
from taskfleet.cli import exits
from taskfleet.cli.options import output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.parallelnames import find_runs, queue_of, read_inputs
from taskfleet.cli.parallelprogress import follow
from taskfleet.cli.parallelsummary import exit_code, show, summary
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import SetBack
from taskfleet.core.task import QueueKey
from taskfleet.parallel.coordinator import Coordinator
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.pipelinerun import Stage, prepare, stages
from taskfleet.parallel.record import Record
from taskfleet.parallel.scope import check

EPILOG = """
\b
The run goes on as long as this command does. Ctrl-C, or a machine that fails, loses nothing: the same command goes on
where it was. No step is run twice, unless its worker died in it.

\b
Examples:
  taskfleet parallel run checks.yaml
  taskfleet parallel run research.yaml --input document=@report.md --input max_checks=3
  taskfleet parallel run checks.yaml --again -o json
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE|@FILE", help="A value for templates.")
@click.option("--again", is_flag=True, help="Forget the results of the last run of this file, which has ended.")
@queue_option
@target_options
@output_option
def run(
    file: Path,
    inputs: tuple[str, ...],
    again: bool,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Run the parallel queues of FILE, or go on with them, and wait for their end."""
    given = read_inputs(inputs)
    pipeline = load_pipeline(file)
    check(pipeline, given)
    target = find_target(data, namespace)
    key = queue_of(target, pipeline, queue)
    return run_async(_run(target, key, pipeline, given, again, output))


async def _run(
    target: Target, key: QueueKey, pipeline: Pipeline, inputs: dict[str, Any], again: bool, output: Output
) -> int:
    records: dict[str, Record] = {}
    async with open_store(target) as store:
        coordinator = await Coordinator.open(store, key)
        await prepare(coordinator, pipeline, again=again)
        while True:
            try:
                async for stage in stages(store, key, coordinator, pipeline, inputs):
                    await _bring_to_its_end(stage, coordinator, records, output)
                break
            except SetBack as error:
                output.remark(str(error))
    if output.as_json:
        output.json_line({"name": pipeline.name, "runs": [summary(key, *each) for each in records.items()]})
    output.remark(f"results: taskfleet parallel results {[*records][-1]}")
    return exit_code(*records.values())


async def _bring_to_its_end(stage: Stage, coordinator: Coordinator, records: dict[str, Record], output: Output) -> None:
    if stage.driver is not None:
        if stage.record.taken:
            output.remark(f"{stage.name}: goes on; {stage.record.tally.done} items are done")
        await _drive(stage.name, stage.driver, coordinator.kept_seconds, output)
    if stage.name not in records and not output.as_json:
        show(output, stage.name, stage.record)
    records[stage.name] = stage.record


async def _drive(name: str, driver: Driver, kept_seconds: float, output: Output) -> None:
    following = asyncio.create_task(follow(name, driver, output))
    try:
        await driver.run(kept_seconds)
    except asyncio.CancelledError:
        await to_its_end(driver.leave())
        output.remark(f"\n{name} is left as it is, and nothing of it is lost: the same command goes on with it")
        raise
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@click.command()
@click.argument("what", metavar="NAME|FILE")
@queue_option
@target_options
@output_option
def cancel(what: str, queue: str | None, data: Path | None, namespace: str | None, output: Output) -> int:
    """End a run now: nothing of it is begun any more, and what runs is cancelled. Its results so far stay."""
    return run_async(_cancel(find_target(data, namespace), what, queue, output))


async def _cancel(target: Target, what: str, queue: str | None, output: Output) -> int:
    async with open_store(target) as store:
        found = await find_runs(store, target, what, queue)
        open_runs = [(key, name) for key, name, record in found if not record.state.is_final]
        ended = []
        for key, name in open_runs:
            coordinator = await Coordinator.open(store, key)
            driver = await coordinator.cancel(name)
            await _drive(name, driver, coordinator.kept_seconds, output)
            ended.append((key, name, driver.record))
    if output.as_json:
        output.json_line({"cancelled": [summary(*each) for each in ended]})
    for _, name, record in ended if not output.as_json else ():
        show(output, name, record)
    if not ended:
        output.remark("nothing was left to cancel")
    return exits.OK
