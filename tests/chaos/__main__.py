"""`python -m tests.chaos [--short] [--case words] [--orders N]`: break everything under load, and print a table."""

import argparse
import os
import sys

from tests.chaos.cases import CASES, Case
from tests.chaos.show import Played, play

SHORT_ORDERS = 100
ORDERS = 2000
HEAD = f"{'case':<58}{'orders':>7}{'read':>8}{'unsure':>8}{'questions':>11}{'drained':>9}  result"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer orders, shorter troubles, the most telling cases")
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument("--orders", type=int)
    given = parser.parse_args()
    chosen = [case for case in CASES if given.case in case.name and (not given.short or case.short is not None)]
    orders = given.orders or (SHORT_ORDERS if given.short else ORDERS)
    print(f"{orders} orders a case, two recipes each, six calls an order; {os.cpu_count()} cores", flush=True)
    print(HEAD, flush=True)
    failed = 0
    for case in chosen:
        played = _played(case, orders, given.short)
        failed += bool(played.wrong)
        print(_line(played), flush=True)
        for line in played.wrong[:20]:
            print(f"    {line}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} cases kept every promise", flush=True)
    return 1 if failed or not chosen else 0


def _played(case: Case, orders: int, short: bool) -> Played:
    try:
        return play(case, orders, short=short)
    except Exception as e:
        return Played(case, orders, [f"{type(e).__name__}: {e}"])


def _line(played: Played) -> str:
    result = "kept" if not played.wrong else f"BROKEN ({len(played.wrong)})"
    notes = f" ({', '.join(played.notes)})" if played.notes else ""
    return (
        f"{played.case.name:<58}{played.orders:>7}{played.read:>8}{played.unsure:>8}{played.questions:>11}"
        f"{played.drained:>8.1f}s  {result}{notes}"
    )


if __name__ == "__main__":
    sys.exit(main())
