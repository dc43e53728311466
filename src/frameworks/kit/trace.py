"""Trace ids: read from and written to W3C `traceparent`, and known to everything done for one call.

The id travels beside a call and is the only context variable of the kit; an identity never is one.
"""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from frameworks.kit.clock import random_hex

TRACEPARENT = "traceparent"

_FORMAT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NONE = "0" * 32
_spans = itertools.count(int(random_hex(15), 16))

current: ContextVar[str | None] = ContextVar("trace", default=None)
"""The trace id of the call or request being served here."""


def accept(traceparent: str | bytes | None) -> str:
    """The trace id a caller sent, or a new one when it sent none that is valid."""
    match = _FORMAT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return match[1] if match and match[1] != _NONE else random_hex(32)


def here() -> str:
    """The current trace, or a new one."""
    return current.get() or random_hex(32)


@contextmanager
def within(trace: str) -> Iterator[None]:
    """Do something within a trace that began elsewhere; an empty one is none."""
    token = current.set(trace or None)
    try:
        yield
    finally:
        current.reset(token)


def header(trace: str | None = None) -> str:
    """A `traceparent` for a call made now: within `trace`, the current trace, or a new one."""
    return f"00-{trace or here()}-{next(_spans):016x}-01"
