"""The environment variables through which a fleet tells a worker what to do."""

import orjson

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.workerpool import WorkerPool

STORE_URL = "TASKFLEET_STORE_URL"
QUEUE = "TASKFLEET_QUEUE"
POOL = "TASKFLEET_POOL"
ENDPOINT = "TASKFLEET_ENDPOINT"
API_KEY = "TASKFLEET_API_KEY"
WORKER = "TASKFLEET_WORKER"
PORT = "TASKFLEET_PORT"
GRACE_SECONDS = "TASKFLEET_GRACE_SECONDS"


def environment(pool: WorkerPool, endpoint: Endpoint) -> dict[str, str]:
    """What the workers of one endpoint are told, without the secrets (store URL, API key), which the fleet adds."""
    return {
        QUEUE: str(pool.queue),
        POOL: pool.metadata.name,
        ENDPOINT: orjson.dumps(endpoint.to_wire(), option=orjson.OPT_SORT_KEYS).decode(),
        GRACE_SECONDS: f"{pool.spec.worker_template.termination_grace_period.seconds:g}",
    }
