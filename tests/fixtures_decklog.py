"""Decklog with real keys and real tokens, and a log that remembers what it is given."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishAck, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamMetrics
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.domain import Sender, Unreadable
from frameworks.data.decklog.domain.records import RecordBatch
from frameworks.data.decklog.peers import SignedAttributions
from frameworks.data.decklog.service import Intake
from frameworks.kit.clock import Clock, FakeClock, from_micros, micros
from frameworks.kit.identity import (
    Identity,
    Principal,
    PrincipalKind,
    TrustStore,
    Verifier,
    register_service,
)

TENANT, STREAM, OWNER = UUID(int=1), UUID(int=2), UUID(int=3)


@dataclass
class Kept:
    """A log that remembers."""

    records: list[RecordBatch] = field(default_factory=list)
    letters: list[Unreadable] = field(default_factory=list)

    async def append(self, records: Sequence[RecordBatch], *, sender: Sender, trace: str) -> None:
        """Remember."""
        self.records += records

    async def bury(self, letters: Sequence[Unreadable], *, sender: Sender, trace: str) -> None:
        """Remember."""
        self.letters += letters


@dataclass(frozen=True, slots=True)
class Caller:
    """As much of a call as Decklog looks at."""

    principal: Principal
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Yard:
    """A platform of two signing services and one Decklog."""

    clock: FakeClock
    commodore: Identity
    foghorn: Identity
    decklog: Api
    kept: Kept
    trust: TrustStore

    def claims(self, **over: Any) -> dict[str, Any]:
        """What Commodore says of the stream, with something else in places."""
        said = {
            "tenant": str(TENANT),
            "stream": str(STREAM),
            "cluster": "default",
            "node": "node-1",
            "role": "ingest",
            "epoch": 4,
            "nbf": int(self.clock.now().timestamp()),
        }
        return said | over

    def attribution(self, signer: Identity | None = None, typ: str = "attribution", **over: Any) -> str:
        """A signed attribution."""
        return (signer or self.commodore).sign(self.claims(**over), typ=typ, lifetime=timedelta(hours=24))

    def event(self, **over: Any) -> Event:
        """An event that everybody would accept."""
        fields: dict[str, Any] = {
            "event_id": UUID(int=77).bytes,
            "type": "stream-metrics",
            "occurred_at": micros(self.clock.now()),
            "schema_version": 1,
            "tenant_id": TENANT.bytes,
            "stream_id": STREAM.bytes,
            "node_id": "node-1",
            "cluster_id": "default",
            "claim_epoch": 4,
        }
        payload = {} if "type" in over else {"stream_metrics": StreamMetrics(bitrate_kbps=1)}
        return Event(**(fields | payload | over))

    async def verdict(self, event: Event | bytes, *tokens: str, principal: Principal | None = None) -> str:
        """`accepted`, or the code of the refusal."""
        raw = event if isinstance(event, bytes) else event.SerializeToString()
        envelope = Envelope(event=raw, attribution=1 if tokens else 0)
        request = PublishRequest(sequence=1, attributions=tokens, events=[envelope])
        before = len(self.kept.records)
        ack = await self.publish(request, principal or NODE)
        assert (len(self.kept.records) > before) is (ack.accepted == 1)
        return "accepted" if ack.accepted else ack.refused[0].code

    def at(self, moment: int) -> "Yard":
        """The same keys at another time, with a log of its own."""
        clock, kept = FakeClock(from_micros(moment)), Kept()
        commodore, foghorn = (
            Identity(name, self.trust.private_key(name), clock) for name in ("commodore", "foghorn")
        )
        return Yard(clock, commodore, foghorn, decklog(self.trust, clock, kept), kept, self.trust)

    def open_stream(self, decklog: Api, principal: Principal) -> Any:
        """A stream that says one thing and stays open."""

        async def requests() -> AsyncIterator[PublishRequest]:
            yield PublishRequest(sequence=1)
            await asyncio.Event().wait()

        caller: Any = Caller(principal)
        return decklog.Publish(requests(), caller)

    async def publish(self, request: PublishRequest, principal: Principal) -> PublishAck:
        """The acknowledgement of one request."""

        async def requests() -> AsyncIterator[PublishRequest]:
            yield request

        caller: Any = Caller(principal)
        (ack,) = [ack async for ack in self.decklog.Publish(requests(), caller)]
        return ack


NODE = Principal(PrincipalKind.NODE, "node-1", tenant=OWNER, cluster="default")


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """Keys on disk, as the supervisor registers them."""
    clock, directory = FakeClock(), tmp_path_factory.mktemp("keys")
    kept, trust = Kept(), TrustStore(directory)
    commodore, foghorn = (signer(directory, service, clock) for service in ("commodore", "foghorn"))
    return Yard(clock, commodore, foghorn, decklog(trust, clock, kept), kept, trust)


def decklog(trust: TrustStore, clock: FakeClock, kept: Kept) -> Api:
    """Decklog over a log that remembers."""
    attributions = SignedAttributions(Verifier(trust, clock), capacity=100)
    return Api(Intake(attributions, kept, clock, region="local"))


def signer(directory: Path, service: str, clock: Clock) -> Identity:
    """A registered service."""
    register_service(directory, service)
    return Identity(service, TrustStore(directory).private_key(service), clock)
