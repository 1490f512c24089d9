"""Logs on stderr: what happened, by our own words, ids and slugs; never anybody's data.

The text of an exception may hold what was being worked: a validation error repeats its input, a database error the row.
So exceptions are logged by type and place, without their text, also those that libraries log.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict

from app.settings import Settings

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FACTS = ("sqlstate", "table_name", "constraint_name", "errno")
"""What some exceptions say beside their text, in words of the system's own."""


def set_up_logging(settings: Settings) -> None:
    """Structured logs on stderr; a normal run says little."""
    level = getattr(logging, settings.log_level.upper(), logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Discreet("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each.formatter, _Discreet)] + [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # it brings handlers of its own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)  # it tells of an outage with each try; we say it once
    shape = structlog.processors.JSONRenderer() if settings.log_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_text,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    sys.excepthook = _last_words


def placed(error: BaseException) -> str:
    """An exception as it may be logged: types and places of it and of what caused it, without their texts."""
    return "\n".join(_lines(error, ""))


def _lines(error: BaseException, indent: str) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _lines(cause, indent)
        yield f"{indent}and then"
    facts = [f"{name}={value}" for name in _FACTS if (value := getattr(error, name, None)) is not None]
    yield f"{indent}{type(error).__qualname__} (its text is not logged: it may hold somebody's data) {' '.join(facts)}"
    for frame in traceback.extract_tb(error.__traceback__)[-20:]:
        yield f"{indent}  {frame.filename.removeprefix(_ROOT)}:{frame.lineno} in {frame.name}: {frame.line}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _lines(each, indent + "  | ")


def _without_text(_: Any, __: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()[1]
    elif isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        event["exception"] = placed(given)
    return event


class _Discreet(logging.Formatter):
    """For what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            record.args = tuple(_named(each) for each in record.args)
        if record.name == "asyncio":  # tells futures with their exceptions, from the second line on
            record.msg, record.args = str(record.msg).partition("\n")[0], None
        record.exc_text = None
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 (its name in the standard library)
        return placed(ei[1]) if ei and ei[1] is not None else ""


def traced(error: Exception) -> dict[str, str]:
    """A bug for the log: where it was, without its text, which may hold a customer's data."""
    return {"error": type(error).__name__, "traceback": placed(error)[-4000:]}


def _named(value: object) -> object:
    return type(value).__name__ if isinstance(value, BaseException) else value


def _last_words(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.stderr.write(f"{placed(error)}\n")


class Outage:
    """A server that is away, said once, however often it is asked meanwhile; and that it is back."""

    def __init__(self, server: str, meanwhile: str) -> None:
        self._server = server
        self._meanwhile = meanwhile
        self._away = False

    def missed(self, error: BaseException) -> None:
        if not self._away:
            structlog.get_logger().warning(f"{self._server} is away; {self._meanwhile}", error=type(error).__name__)
        self._away = True

    def met(self) -> None:
        if self._away:
            structlog.get_logger().info(f"{self._server} is back")
        self._away = False


class Stumbles:
    """What somebody stumbles over again and again, said once until it has gone well."""

    def __init__(self) -> None:
        self._last: type[BaseException] | None = None

    def say(self, error: BaseException, event: str, **about: object) -> None:
        if self._last is not type(error):
            structlog.get_logger().error(event, exc_info=error, **about)
        self._last = type(error)

    def over(self) -> None:
        self._last = None
