"""A slow log slows its senders: how far a sender is ahead of the log is bounded, over each transport and for all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures_decklog import signer

from frameworks.contracts.pb import decklog_v1_pb2 as pb
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.events_v1_pb2 import Event, LoadBalancing
from frameworks.contracts.permissions import RPC
from frameworks.data.decklog.api import SERVICE, Api
from frameworks.data.decklog.domain import Sender, Unreadable
from frameworks.data.decklog.domain.records import RecordBatch
from frameworks.data.decklog.peers import SignedAttributions
from frameworks.data.decklog.service import Intake
from frameworks.kit.clock import SystemClock, micros, uuid7
from frameworks.kit.identity import Identity, TrustStore, Verifier
from frameworks.kit.rpc import Channel, Dispatcher, Loopback, RpcServer, connect

CLOCK = SystemClock()
BATCHES, EVENT_BYTES, AHEAD = 200, 200_000, 80
"""16 MB ahead: an HTTP/2 window or two, which is all that may lie between a sender and the log."""
FEW = 3


@dataclass
class SlowLog:
    """A log on a slow disk: each record waits for a write and a sync; notes how many wait at once."""

    path: Path
    durable: int = 0
    waiting: int = 0
    most_waiting: int = 0

    async def append(self, records: Sequence[RecordBatch], *, sender: Sender, trace: str) -> None:
        """Write and sync."""
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        for record in records:
            await asyncio.to_thread(self.path.write_bytes, record.value)
        self.waiting -= 1
        self.durable += len(records)

    async def bury(self, letters: Sequence[Unreadable], *, sender: Sender, trace: str) -> None:
        """Nothing here is unreadable."""
        raise AssertionError(letters)


@asynccontextmanager
async def offered(kind: str, log: SlowLog, trust: TrustStore, directory: Path) -> AsyncIterator[Any]:
    """Decklog over a transport."""
    verifier = Verifier(trust, CLOCK)
    dispatcher = Dispatcher(verifier, RPC)
    intake = Intake(SignedAttributions(verifier, capacity=10), log, CLOCK, in_flight=FEW)
    dispatcher.add(SERVICE, Api(intake), service="decklog")
    if kind == "loopback":
        loopback = Loopback(dispatcher)
        yield loopback
        await loopback.close()
        return
    server = RpcServer(dispatcher, "decklog")
    channel = connect(server.bind(f"unix:{directory}/d.sock", setting="FRAMEWORKS_PEER_DECKLOG"))
    await server.start()
    yield channel
    await channel.close()
    await server.stop(0)


def stub_of(transport: Any, trust: TrustStore) -> Any:
    """Decklog as Foghorn calls it."""
    channel: Any = Channel(lambda _: transport, Identity("foghorn", trust.private_key("foghorn"), CLOCK))
    return DecklogServiceStub(channel)


def request(number: int) -> pb.PublishRequest:
    """One large event of its own."""
    event = Event(
        event_id=uuid7().bytes,
        type="load-balancing",
        occurred_at=micros(CLOCK.now()),
        schema_version=2,
        tenant_id=uuid7().bytes,
        node_id="n",
        load_balancing=LoadBalancing(reason="x" * EVENT_BYTES),
    )
    return pb.PublishRequest(sequence=number, events=[pb.Envelope(event=event.SerializeToString())])


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    """Foghorn's key."""
    signer(tmp_path / "keys", "foghorn", CLOCK)
    return TrustStore(tmp_path / "keys")


@pytest.mark.parametrize("kind", ["loopback", "network"])
async def test_a_sender_is_never_far_ahead_of_a_slow_log(
    kind: str, trust: TrustStore, tmp_path: Path
) -> None:
    log, sent, ahead = SlowLog(tmp_path / "log"), 0, 0

    async def requests() -> AsyncIterator[pb.PublishRequest]:
        nonlocal sent, ahead
        for number in range(BATCHES):
            yield request(number)
            sent += 1
            ahead = max(ahead, sent - log.durable)

    async with offered(kind, log, trust, tmp_path) as transport:
        stub = stub_of(transport, trust)
        acknowledged = [(ack.sequence, ack.accepted) async for ack in stub.Publish(requests())]
    assert acknowledged == [(number, 1) for number in range(BATCHES)]
    assert log.durable == BATCHES
    assert ahead <= AHEAD


async def test_an_acknowledgement_comes_after_its_batch_is_durable(trust: TrustStore, tmp_path: Path) -> None:
    log = SlowLog(tmp_path / "log")
    async with offered("network", log, trust, tmp_path) as transport:
        stub = stub_of(transport, trust)
        async for ack in stub.Publish([request(number) for number in range(1, 9)]):
            assert log.durable >= ack.sequence


async def test_many_senders_have_few_batches_before_the_log_at_a_time(
    trust: TrustStore, tmp_path: Path
) -> None:
    log = SlowLog(tmp_path / "log")
    async with offered("loopback", log, trust, tmp_path) as transport:
        stub = stub_of(transport, trust)

        async def send() -> int:
            return sum([ack.accepted async for ack in stub.Publish([request(n) for n in range(3)])])

        assert await asyncio.gather(*(send() for _ in range(20))) == [3] * 20
    assert log.most_waiting == FEW
