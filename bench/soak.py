"""`python -m bench.soak [--minutes 10] [--rate 200]`: a steady load for long; does memory grow?

Samples the resident memory of API and worker every five seconds. The slope is a least-squares line through the second
half, when pools and caches are warm; everything sent must have arrived at the end.
"""

import argparse
import statistics
import threading
import time
from dataclasses import dataclass

from bench.stage import Stage, stage

EVERY = 5.0
PART = 15
"""Seconds of load at a time."""
SERVERS = ("api", "worker")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=200)
    given = parser.parse_args()
    with stage() as made:
        for name, command in (("api", "serve"), ("worker", "worker")):
            made.start(name, "-m", "app.cli", command)
        made.wait_ready(made.port)
        grown = soak(made, given.minutes * 60, given.rate)
        print(f"{made.sent} orders at {given.rate}/s, all arrived")
        for name, server in grown.items():
            print(
                f"{name}: {server.first:.0f} MB at first, {server.peak:.0f} MB at most, {server.slope:+.2f} MB a minute"
            )


@dataclass(frozen=True)
class Grown:
    """Resident MB of a server over a soak; slope: MB a minute in its second half."""

    first: float
    peak: float
    slope: float


def soak(made: Stage, seconds: float, rate: int) -> dict[str, Grown]:
    """Load at a steady rate until everything has arrived."""
    samples = _sampled(made, seconds, rate)
    made.wait_arrived(made.sent)
    return {
        name: Grown(series[0][1], max(mb for _, mb in series), _slope(series[len(series) // 2 :]))
        for name, series in samples.items()
    }


def _sampled(made: Stage, seconds: float, rate: int) -> dict[str, list[tuple[float, float]]]:
    """Server -> (minutes, resident MB), sampled while the load runs."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    over, began = threading.Event(), time.monotonic()

    def sample() -> None:
        while not over.wait(EVERY):
            for name in SERVERS:
                samples[name].append(((time.monotonic() - began) / 60, made.memory(name)[1]))

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        while time.monotonic() - began < seconds:
            made.load(PART * rate, "--rate", str(rate))
    finally:
        over.set()
        sampling.join()
    return samples


def _slope(series: list[tuple[float, float]]) -> float:
    """MB a minute."""
    if len(series) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*series, strict=True)).slope


if __name__ == "__main__":
    main()
