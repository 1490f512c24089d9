"""One order's whole way: webhook, events, why each recipe ran or not, runs, steps, calls, attempts, effects.

shapes.py    the data, shared with the API
assemble.py  from whatever was asked for up to its webhook, then down to every attempt
terminal.py  a tree for people, imported by who prints it
"""

from typing import TYPE_CHECKING, Any

from app.trace.shapes import Trace

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    """What needs a database is imported when it is asked for: to draw a trace that came over HTTP costs little."""
    if name.startswith("_") or name not in __all__:
        raise AttributeError(name)
    from app.trace import assemble

    return getattr(assemble, name)


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
