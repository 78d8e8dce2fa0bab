"""``taskfleet parallel``: files that say what to do with each of many items."""

import click

from taskfleet.cli.parallellook import results, status, validate
from taskfleet.cli.parallelrun import cancel, run

EPILOG = """
\b
A file says what to do with each of many items:
  name: capitals
  steps:
  - id: ask
    action: create_parallel_queue
    parameters:
      on: countries.csv
      max_parallel: 10
      action_loop:
      - {name: capital, action: "What is the capital of {{ $item.name }}?"}
      - {name: check, action: "Is {{ capital }} in {{ $item.name }}? Yes or no.", onError: continue}

\b
Examples:
  taskfleet parallel validate capitals.yaml
  taskfleet parallel run capitals.yaml
  taskfleet parallel status capitals.ask
  taskfleet parallel results capitals.ask --out results.jsonl
"""


@click.group(epilog=EPILOG)
def parallel() -> None:
    """Run steps over many items at once: a file, checked, durable, with partial results."""


for command in (validate, run, status, results, cancel):
    parallel.add_command(command)
