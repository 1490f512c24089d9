"""Tradewind: a self-hosted integration hub for online shops."""

import sys
from types import ModuleType


class _LeftOut(ModuleType):
    """Stands for a part of a library that loads with the rest of it and is not for us: every name in it is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


# Servers are lean: 20 MB and 300 modules less each. SQLAlchemy's asyncio part brings the ORM for its sessions, redis
# PyJWT for a log-in of Azure's; httpx its command line (click, pygments, rich), structlog rich to paint tracebacks.
for _name in ("sqlalchemy.ext.asyncio.session", "sqlalchemy.ext.asyncio.scoping", "jwt"):
    sys.modules.setdefault(_name, _LeftOut(_name))
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
