"""One process of a hub under test: `python -m tests.chaos.child prepare | serve | worker | sandbox PORT`.

CHAOS_CLOCK_OFF puts so many seconds into this process's wall clock before anything of the hub is imported.
"""

import datetime as dates
import os
import sys
import time


def shift_wall_clock(seconds: float) -> None:
    """`time.time`, `datetime.now` and `datetime.utcnow` are off by this; monotonic clocks are not."""
    true_time, true_datetime, off = time.time, dates.datetime, dates.timedelta(seconds=seconds)

    class AsIs(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, true_datetime)

    class Shifted(true_datetime, metaclass=AsIs):
        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> dates.datetime:  # type: ignore[override]
            return true_datetime.now(tz) + off

        @classmethod
        def utcnow(cls) -> dates.datetime:  # type: ignore[override]
            return true_datetime.now(dates.UTC).replace(tzinfo=None) + off

    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: int((true_time() + seconds) * 1e9)
    dates.datetime = Shifted  # type: ignore[misc]


def main() -> None:
    from app import processes
    from app.registry import Registry
    from app.settings import Settings

    settings = Settings()
    match sys.argv[1]:
        case "prepare":
            from app.preparing import prepare

            prepare(settings)
        case "serve":
            processes.serve(settings)
        case "worker":
            processes.run_worker(settings)
        case "sandbox":
            processes.run_sandbox("127.0.0.1", int(sys.argv[2]), Registry.of(settings))


if __name__ == "__main__":
    if off := float(os.environ.get("CHAOS_CLOCK_OFF", "0")):
        shift_wall_clock(off)
    main()
