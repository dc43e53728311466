"""What a servicer knows of the call it serves."""

import re
from dataclasses import dataclass, field
from uuid import UUID

from frameworks.kit import trace
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Forbidden
from frameworks.kit.identity import Principal

AUTHORIZATION = "authorization"
MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes; both transports refuse a larger message in either direction."""

Metadata = tuple[tuple[str, str | bytes], ...]

_VERSION = re.compile(r"v\d+")


def service_of(path: str) -> str:
    """The service a gRPC method belongs to: `commodore` of `/frameworks.commodore.v1.CommodoreService/X`."""
    names = path.strip("/").split("/")[0].split(".")[:-1]
    plain = [name for name in names if not _VERSION.fullmatch(name)]
    return plain[-1] if plain else ""


class Forwarded(tuple[tuple[str, str | bytes], ...]):
    """Metadata that carries a caller on: a call made with it never gets the service's own token."""

    deadline: float | None = None
    """Monotonic instant by which the original caller wants its answer."""


@dataclass(slots=True)
class Sent:
    """What goes along with a call, and with its answer."""

    authorization: str | None
    trace: str
    time_left: float | None
    trailing: list[tuple[str, str | bytes]] = field(default_factory=list, init=False)
    """Metadata sent after the answer."""


class Call:
    """One call being served: who calls, within which trace, until when."""

    __slots__ = ("_clock", "_deadline", "_sent", "method", "principal", "trace")

    def __init__(
        self, method: str, principal: Principal, sent: Sent, clock: Clock, deadline: float | None
    ) -> None:
        self.method = method
        self.principal = principal
        self.trace = sent.trace
        self._sent = sent
        self._clock = clock
        self._deadline = deadline

    @property
    def trailing(self) -> list[tuple[str, str | bytes]]:
        """Metadata sent after the answer; append to it."""
        return self._sent.trailing

    @property
    def tenant(self) -> UUID:
        """The tenant the caller acts for; raises Forbidden when it acts for none."""
        if self.principal.tenant is None:
            raise Forbidden("This caller acts for no tenant.", caller=self.principal.kind.value)
        return self.principal.tenant

    def time_left(self) -> float | None:
        """Seconds until the caller gives up; None when it waits for ever."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock.monotonic())

    def forward(self) -> Forwarded:
        """Metadata for a call on behalf of the same caller: its credential, trace and deadline.

        Users' and API tokens are meant for the whole platform. A service's token is meant for one service:
        passed on, it is refused there; call without metadata to act as this service.
        """
        pairs: list[tuple[str, str | bytes]] = [(trace.TRACEPARENT, trace.header(self.trace))]
        if self._sent.authorization is not None:
            pairs.append((AUTHORIZATION, self._sent.authorization))
        forwarded = Forwarded(pairs)
        forwarded.deadline = self._deadline
        return forwarded


def told(metadata: Metadata) -> tuple[str | None, str | None]:
    """Authorization and trace parent in metadata; an authorization that is not one text is empty."""
    traceparent: str | None = None
    authorization: str | None = None
    for key, value in metadata:
        if key == trace.TRACEPARENT and isinstance(value, str):
            traceparent = value
        elif key == AUTHORIZATION:
            single = isinstance(value, str) and authorization in (None, value)
            authorization = str(value) if single else ""
    return authorization, traceparent


def metadata_of(sent: Sent) -> Metadata:
    """What goes along with a call, as metadata."""
    traceparent = (trace.TRACEPARENT, trace.header(sent.trace))
    if sent.authorization is None:
        return (traceparent,)
    return (AUTHORIZATION, sent.authorization), traceparent
