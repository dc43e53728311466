"""Tokens that players send their telemetry with, one a stream, signed anew at half its life."""

from collections import OrderedDict
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from frameworks.contracts.telemetry import TYP, Subject
from frameworks.kit.clock import Clock
from frameworks.media.foghorn.service.known import KnownStream

MOST = 10_000


class Signer(Protocol):
    """Foghorn's own key."""

    def sign(self, claims: dict[str, Any], *, typ: str, lifetime: timedelta) -> str:
        """A signed document."""


class Passes:
    """Signs what a resolved playback id stands for; viewers of one stream share a token, which names no viewer."""

    def __init__(self, signer: Signer, clock: Clock, lifetime: timedelta) -> None:
        self._signer = signer
        self._clock = clock
        self._lifetime = lifetime
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def of(self, stream: KnownStream) -> str:
        """The token for what the stream's players report."""
        now = self._clock.monotonic()
        kept = self._kept.get(stream.playback_id)
        if kept is not None and now < kept[0]:
            return kept[1]
        subject = Subject(UUID(stream.tenant_id), UUID(stream.stream_id), stream.playback_id)
        token = self._signer.sign(subject.claims(), typ=TYP, lifetime=self._lifetime)
        self._kept[stream.playback_id] = (now + self._lifetime.total_seconds() / 2, token)
        self._kept.move_to_end(stream.playback_id)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return token
