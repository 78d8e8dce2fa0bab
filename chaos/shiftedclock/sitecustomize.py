"""A process whose wall clock is wrong by ``CHAOS_CLOCK_SHIFT`` seconds: Python imports this module before any other
when its folder is on ``PYTHONPATH``. Steady clocks stay as they are, as on a machine with the wrong time.
"""

import datetime
import os
import time

SHIFT = int(os.environ["CHAOS_CLOCK_SHIFT"])

_time, _time_ns, _real = time.time, time.time_ns, datetime.datetime
_shift = datetime.timedelta(seconds=SHIFT)


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real)


class _Shifted(_real, metaclass=_AnyDatetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _real.now(tz) + _shift

    @classmethod
    def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
        return _real.now(datetime.UTC).replace(tzinfo=None) + _shift


time.time = lambda: _time() + SHIFT
time.time_ns = lambda: _time_ns() + SHIFT * 10**9
datetime.datetime = _Shifted  # type: ignore[misc]
