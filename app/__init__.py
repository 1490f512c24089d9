"""Tradewind: a self-hosted integration hub for online shops."""

import sys

# structlog loads rich, where that is installed, to paint tracebacks, which our logs never do: 50 modules and 4 MB less
_away = {"rich": None} if "rich" not in sys.modules else {}
sys.modules.update(_away)  # type: ignore[arg-type]
import structlog  # noqa: E402, F401

for _name in _away:
    del sys.modules[_name]
