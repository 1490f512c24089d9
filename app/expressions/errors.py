"""What can be wrong with an expression: as it is written, and as it meets its data."""

from collections.abc import Iterable
from difflib import get_close_matches

from app.errors import ConfigError, PermanentError

OFFERED = 30
"""Names that are listed where none is like the one that was written."""


def nearest(name: str, names: Iterable[object]) -> str | None:
    """The name most like `name`, or None when nothing is like it."""
    known = [each for each in names if isinstance(each, str)]
    found = get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None


def hint(name: str, names: Iterable[object]) -> str:
    """A sentence that names the nearest existing name (or a few that exist), empty when there is nothing to offer."""
    known = sorted(each for each in names if isinstance(each, str))
    found = nearest(name, known)
    if found:
        return f"did you mean {found!r}?"
    return f"there is {', '.join(known[:OFFERED])}{' ...' if len(known) > OFFERED else ''}" if known else ""


class ExpressionError(ConfigError):
    """An expression is written wrongly. `line` and `column` (from 1) count inside its source."""

    def __init__(self, message: str, line: int = 1, column: int = 1, mend: str = "") -> None:
        super().__init__(f"{message}; {mend}" if mend else message)
        self.message = message
        self.line = line
        self.column = column
        self.mend = mend
        self.path: tuple[str | int, ...] = ()


class EvaluationError(PermanentError):
    """An expression cannot give a value for this data, or would cost too much; trying again gives the same."""
