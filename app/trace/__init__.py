"""One order's whole way: webhook, events, why each recipe ran or not, runs, steps, calls, attempts, effects.

shapes.py    the data, shared with the API
assemble.py  from whatever was asked for up to its webhook, then down to every attempt
terminal.py  a tree for people, imported by who prints it
"""

from app.trace.assemble import (
    blotted,
    effect_of,
    event_detail,
    event_of,
    in_full,
    run_detail,
    trace,
    without,
)
from app.trace.shapes import Trace

__all__ = [
    "Trace",
    "blotted",
    "effect_of",
    "event_detail",
    "event_of",
    "in_full",
    "run_detail",
    "trace",
    "without",
]
