"""``python -m taskfleet.worker``: one worker, told what to do by its environment."""

import logging
import sys

import uvloop

from taskfleet.core.errors import TaskfleetError
from taskfleet.telemetry.logs import configure_logs
from taskfleet.worker.service import run_worker
from taskfleet.worker.settings import read_settings

log = logging.getLogger("taskfleet.worker")


def main() -> int:
    """Run one worker to its end; the exit code of core/errors.py."""
    try:
        configure_logs()
        return uvloop.run(run_worker(read_settings()))
    except TaskfleetError as error:
        if not logging.getLogger().handlers:
            print(f"error: {error}", file=sys.stderr)
        else:
            log.error(str(error), extra={"code": error.code})  # noqa: TRY400  the sentence is all there is to say
        return error.exit_code
    except Exception:
        log.exception("the worker broke")
        return TaskfleetError.exit_code


if __name__ == "__main__":
    sys.exit(main())
