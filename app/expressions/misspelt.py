"""The usual slips in expressions: what other languages write, with the word of this one."""

import re
from typing import NamedTuple


class Slip(NamedTuple):
    """What was written at an offset of the source, and what to write instead."""

    message: str
    offset: int
    mend: str


INSTEAD = {
    "&&": "`and`", "||": "`or`", "&": "`and`", "===": "`==`", "!==": "`!=`", "<>": "`!=`", "!": "`not`", "=": "`==`",
    "=>": "`>=`", "=<": "`<=`", "??": "`| default(...)`", "?": "`this if condition else that`", "AND": "`and`",
    "OR": "`or`", "NOT": "`not`", "contains": "it the other way round: `'vip' in order.tags`",
}  # fmt: skip
NOTHING = frozenset({"null", "nil", "undefined", "NULL", "Null", "nothing"})
"""What other languages call `none`."""
NEAR = 3
"""Letters between a slip and the place where reading stumbled, at most."""
_SLIP = re.compile(r"&&|\|\||!==|===|<>|\?\?|=>|=<|&|!(?!=)|\?|(?<![=!<>])=(?!=)|(?<![\w.])(?:AND|OR|NOT|contains)\b")


def slip_of(source: str, offset: int) -> Slip | None:
    """The slip because of which an expression cannot be read from an offset on, if it is one."""
    for found in _SLIP.finditer(source, max(offset - NEAR, 0)):
        if found.start() - offset > 0:
            return None
        written = found.group()
        return Slip(f"{written} is not part of the language", found.start(), f"write {INSTEAD[written]}")
    return None
