"""Structured logs: an event name (`<noun>.<past verb>`) and facts, one JSON object a line on stderr.

Secrets never reach a log: values of the fields in `SECRET_FIELDS` are replaced before writing.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from frameworks.kit import trace

SECRET_FIELDS = frozenset(
    {
        "stream_key",
        "token",
        "password",
        "secret",
        "authorization",
        "address",
        "viewer_address",
        "host_address",
        "email",
    }
)


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for field in SECRET_FIELDS & event.keys():
        event[field] = "[redacted]"
    return event


def _traced(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (current := trace.current.get()) is not None:
        event.setdefault("trace", current)
    return event


def setup(level: str = "INFO", *, stream: TextIO | None = None, pretty: bool = False) -> None:
    """Configure logging of this process once, at its start."""
    # Rich tracebacks print local variables, among them tokens.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    rendering: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _traced,
            _redact,
            *([console] if pretty else rendering),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in [found for found in root.handlers if isinstance(found, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(logging.WARNING))


class _Libraries(logging.Handler):
    """What libraries log, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        facts = {"exc_info": record.exc_info} if record.exc_info else {}
        logger = get("library", library=record.name)
        logger.log(record.levelno, "library.reported", message=record.getMessage(), **facts)


def get(service: str, **facts: Any) -> Any:
    """A logger that says `service` on each line, and the trace of what is being served; bind other ids at the edge.

    Lazy, so that a module-level logger follows the `setup` that comes after it.
    """
    return structlog.get_logger(service=service, **facts)
