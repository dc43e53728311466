"""Telemetry tokens: one a stream, of whose it is and nothing else, signed anew at half life."""

from datetime import timedelta
from typing import Any

from frameworks.contracts.telemetry import TYP, subject
from frameworks.kit.clock import FakeClock, uuid7
from frameworks.media.foghorn.service import passes
from frameworks.media.foghorn.service.known import KnownStream
from frameworks.media.foghorn.service.passes import Passes


class Signer:
    """Remembers what it signed."""

    def __init__(self) -> None:
        self.signed: list[dict[str, Any]] = []

    def sign(self, claims: dict[str, Any], *, typ: str, lifetime: timedelta) -> str:
        """A document that is its number."""
        assert (typ, lifetime) == (TYP, timedelta(hours=2))
        self.signed.append(claims)
        return str(len(self.signed))


def stream(playback_id: str = "p" * 16) -> KnownStream:
    """A stream Foghorn knows."""
    return KnownStream(playback_id, "i" * 32, str(uuid7()), str(uuid7()))


async def test_viewers_of_a_stream_share_a_token_until_half_its_life() -> None:
    signer, clock = Signer(), FakeClock()
    signed, known = Passes(signer, clock, timedelta(hours=2)), stream()
    assert [signed.of(known), signed.of(known)] == ["1", "1"]
    await clock.advance(3601)
    assert signed.of(known) == "2"
    assert signed.of(stream("q" * 16)) == "3"


async def test_a_token_says_whose_stream_it_is() -> None:
    signer, known = Signer(), stream()
    Passes(signer, FakeClock(), timedelta(hours=2)).of(known)
    found = subject(signer.signed[0])
    assert (str(found.tenant), str(found.stream)) == (known.tenant_id, known.stream_id)
    assert (found.playback_id, found.artifact) == (known.playback_id, "")
    assert set(signer.signed[0]) == {"tenant", "stream", "playback_id"}


async def test_tokens_are_kept_for_so_many_streams() -> None:
    signer = Signer()
    signed = Passes(signer, FakeClock(), timedelta(hours=2))
    first = stream("first")
    signed.of(first)
    for number in range(passes.MOST):
        signed.of(stream(str(number)))
    signed.of(first)
    assert len(signer.signed) == passes.MOST + 2
