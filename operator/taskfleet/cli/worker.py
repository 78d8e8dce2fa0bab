"""``taskfleet worker``: run one worker, as the fleets do."""

import sys

import click

from taskfleet.worker.__main__ import main


@click.command("worker")
def worker() -> None:
    """Run one worker of a pool's endpoint. The controller and `up` do this for you.

    It is told what to do by its environment:

    \b
    TASKFLEET_STORE_URL      URL of the store, such as valkey://host:6379
    TASKFLEET_QUEUE          namespace/name of the TaskQueue
    TASKFLEET_POOL           name of the WorkerPool
    TASKFLEET_ENDPOINT       one endpoint of the pool, as JSON
    TASKFLEET_API_KEY        API key of the endpoint, if it wants one
    TASKFLEET_WORKER         a unique name (default: host, process id, random)
    TASKFLEET_PORT           of /healthz, /readyz and /metrics (default 8422;
                             0: any free port; empty: none)
    TASKFLEET_GRACE_SECONDS  to finish running calls after SIGTERM (default 60)
    """
    sys.exit(main())
