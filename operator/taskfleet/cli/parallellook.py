"""``taskfleet parallel validate``, ``status`` and ``results``: what a file, or a run, is."""

from pathlib import Path

import click

from taskfleet.api.pipelines import load_pipeline
from taskfleet.cli import exits
from taskfleet.cli.options import output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.parallelnames import find_runs, read_inputs
from taskfleet.cli.parallelpicture import draw
from taskfleet.cli.parallelsummary import exit_code, in_words, show, summary
from taskfleet.cli.resultfile import check_out, whole_file
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import InvalidManifest
from taskfleet.parallel.results import lines_in_order
from taskfleet.parallel.scope import check


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="As it will be given to run.")
@output_option
def validate(file: Path, inputs: tuple[str, ...], output: Output) -> int:
    """Check FILE with all its templates, without running anything. Each problem has its line and field."""
    try:
        pipeline = load_pipeline(file)
        check(pipeline, read_inputs(inputs))
    except InvalidManifest as error:
        if not output.as_json:
            raise
        output.json_line({"valid": False, "problems": str(error).splitlines()})
        return exits.BAD_INPUT
    queues = [
        {
            "id": queue.id,
            "steps": [step.name for step in queue.spec.action_loop],
            "maxParallel": queue.spec.max_parallel,
        }
        for queue in pipeline.queues
    ]
    lines = [f"valid: {queue['id']}: {', '.join(queue['steps'])}, {queue['maxParallel']} at once" for queue in queues]  # type: ignore[arg-type]
    output.result({"valid": True, "name": pipeline.name, "queues": queues}, *lines)
    return exits.OK


@click.command()
@click.argument("what", metavar="NAME|FILE")
@queue_option
@target_options
@output_option
def status(what: str, queue: str | None, data: Path | None, namespace: str | None, output: Output) -> int:
    """Show how far a run is, or how it ended, and why items failed."""
    return run_async(_status(find_target(data, namespace), what, queue, output))


async def _status(target: Target, what: str, queue: str | None, output: Output) -> int:
    async with open_store(target) as store:
        found = await find_runs(store, target, what, queue)
    if output.as_json:
        output.json_line({"runs": [summary(*each) for each in found]})
    else:
        for _, name, record in found:
            show(output, name, record)
    return exit_code(*(record for *_, record in found))


@click.command()
@click.argument("what", metavar="NAME|FILE")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Save the lines here.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw its items over time here (SVG).")
@queue_option
@target_options
@output_option
def results(
    what: str,
    out: Path | None,
    picture: Path | None,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Print the result of each item that has ended as a line of JSON, in the order of the items.

    Of a file with several queues it is the last one that has begun; the others have names: FILE.ID. With --picture the
    lines are printed only where --out says so too.
    """
    check_out(out)
    check_out(picture, "--picture")
    return run_async(_results(find_target(data, namespace), what, out, picture, queue, output))


async def _results(
    target: Target, what: str, out: Path | None, picture: Path | None, queue: str | None, output: Output
) -> int:
    async with open_store(target) as store:
        key, name, record = (await find_runs(store, target, what, queue))[-1]
        lines = lines_in_order(store, key, name)
        if picture is None and out is None:
            async for line in lines:
                click.echo(line)
            return exit_code(record)
        if out is not None:
            with whole_file(out) as file:
                async for line in lines:
                    file.write(line + b"\n")
        if picture is not None:
            drawn = await draw(store, key, name, record)
            with whole_file(picture) as file:
                file.write(drawn.encode())
    files = {kind: str(file) for kind, file in (("out", out), ("picture", picture)) if file is not None}
    where = [f"{kind} in {file}" for kind, file in (("results", out), ("picture", picture)) if file is not None]
    output.result(summary(key, name, record) | files, "; ".join((in_words(name, record), *where)))
    return exit_code(record)
