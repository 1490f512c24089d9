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


class _Unpainted:
    """Keeps rich from structlog, and from it alone: commands of people load it, and commands that log nothing load
    neither."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        asking = sys.modules.get("structlog.dev")
        if fullname == "rich" and asking is not None and not hasattr(asking, "ConsoleRenderer"):
            raise ModuleNotFoundError(fullname, name=fullname)


sys.meta_path.insert(0, _Unpainted())
