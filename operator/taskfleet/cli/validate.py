"""``taskfleet validate``: what the API server would say of manifests, without one."""

from pathlib import Path

import click

from taskfleet.api.manifests import Manifests, load
from taskfleet.api.parallelobject import ParallelQueue
from taskfleet.api.taskqueue import TaskQueue
from taskfleet.api.workerpool import WorkerPool
from taskfleet.cli import exits
from taskfleet.cli.options import manifests_option, output_option
from taskfleet.cli.output import Output
from taskfleet.core.errors import InvalidManifest

EPILOG = """
Prints one line for each problem, FILE:LINE: MESSAGE, with the message of the API server. Exit code 0 when all is
valid, 2 when not. The templates of a ParallelQueue are for `taskfleet parallel validate`. Objects of other kinds are
left to others.

\b
Examples:
  taskfleet validate -f manifests/
  taskfleet validate -f queue.yaml -f pool.yaml -o json
  kustomize build . | taskfleet validate -f -
"""


@click.command(epilog=EPILOG)
@manifests_option("File or folder of manifests, or - for stdin; may be given several times.")
@output_option
def validate(manifests: tuple[Path, ...], output: Output) -> int:
    """Check manifests against the rules of the custom resources, without a cluster."""
    try:
        found = load(manifests)
    except InvalidManifest as error:
        if not output.as_json:
            raise
        output.json_line({"valid": False, "problems": str(error).splitlines()})
        return exits.BAD_INPUT
    for text in (*found.notes, *(f"{warning} (warning)" for warning in found.warnings)):
        output.remark(text)
    output.result(
        {
            "valid": True,
            "objects": [*map(_identity, found.queues), *map(_identity, found.pools), *map(_identity, found.parallel)],
            "warnings": found.warnings,
            "notes": found.notes,
        },
        _summary(found),
    )
    return exits.OK


def _identity(resource: TaskQueue | WorkerPool | ParallelQueue) -> dict[str, str]:
    return {"kind": resource.kind, "namespace": resource.metadata.namespace, "name": resource.metadata.name}


def _summary(found: Manifests) -> str:
    parts = [_count(len(found.queues), "TaskQueue"), _count(len(found.pools), "WorkerPool")]
    parts += [_count(len(found.parallel), "ParallelQueue")] if found.parallel else []
    return f"valid: {', '.join(parts)}"


def _count(number: int, kind: str) -> str:
    return f"{number} {kind}{'' if number == 1 else 's'}"
