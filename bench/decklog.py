"""Claim: checking, attributing and regrouping costs Decklog at most three quarters of what the bare log could take.

Events arrive in requests of 500 over 20 streams of 4 tenants, are parsed, checked against their attribution, regrouped
and appended to an embedded event log that syncs every record. The limit, measured in the same run, is the same records
published to the same log without Decklog. Both in one process, one request in flight.

    python bench/decklog.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from frameworks.contracts.pb.decklog_v1_pb2 import Envelope, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import Event, StreamMetrics
from frameworks.contracts.topics import ANALYTICS_EVENTS, PARTITIONS, Role
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.domain import Attribution
from frameworks.data.decklog.peers import TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.engines.nats import Nats
from frameworks.kit.clock import SystemClock, micros, uuid7
from frameworks.kit.eventlog import EventLog, Outgoing, connect
from frameworks.kit.identity import Principal, PrincipalKind

REQUESTS, EVENTS, ROUNDS = 60, 500, 5
SHARE = 0.25
CLOCK = SystemClock()
NOW = micros(CLOCK.now())
STREAMS = [(UUID(int=1 + number % 4), UUID(int=100 + number)) for number in range(20)]


@dataclass(frozen=True, slots=True)
class Caller:
    """As much of a call as Decklog looks at."""

    principal: Principal
    trace: str = "0" * 32


class Words:
    """Attributions that were verified before."""

    known = tuple(
        Attribution(tenant.bytes, stream.bytes, "default", "node", Role.INGEST, 1, 0, NOW * 2)
        for tenant, stream in STREAMS
    )

    def read(self, token: str) -> Attribution:
        """The word."""
        return self.known[int(token)]


class Kept:
    """The log, with a copy of what was given to it."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.records: list[list[Outgoing]] = []

    async def publish(self, records: list[Outgoing]) -> None:
        """Append and keep."""
        self.records.append(records)
        await self.log.publish(records)


def request(number: int) -> PublishRequest:
    """One request with events of its own."""
    envelopes = []
    for index in range(EVENTS):
        which = index % len(STREAMS)
        tenant, stream = STREAMS[which]
        event = Event(
            event_id=uuid7().bytes,
            type="stream-metrics",
            occurred_at=NOW,
            schema_version=1,
            tenant_id=tenant.bytes,
            stream_id=stream.bytes,
            node_id="node",
            cluster_id="default",
            region="local",
            source="helmsman",
            claim_epoch=1,
            stream_metrics=StreamMetrics(
                bitrate_kbps=3000 + index, fps_milli=30_000, codec="H264", viewers=9
            ),
        )
        envelopes.append(Envelope(event=event.SerializeToString(), attribution=which + 1))
    return PublishRequest(
        sequence=number, attributions=[str(n) for n in range(len(STREAMS))], events=envelopes
    )


async def through_decklog(log: Kept) -> float:
    """Events a second through Decklog."""
    requests = [request(number) for number in range(REQUESTS)]

    async def sent() -> AsyncIterator[PublishRequest]:
        for one in requests:
            yield one

    api: Any = Api(Intake(Words(), TopicLog(log, CLOCK, region="local"), CLOCK))  # type: ignore[arg-type]
    node = Caller(Principal(PrincipalKind.NODE, "node", cluster="default"))
    began = time.perf_counter()
    accepted = 0
    async for ack in api.Publish(sent(), node):
        accepted += ack.accepted
    assert accepted == REQUESTS * EVENTS
    return accepted / (time.perf_counter() - began)


async def straight_to_the_log(log: Kept) -> float:
    """Events a second of the same records, published as they are."""
    again = [
        [Outgoing(r.topic, r.partition, r.value, r.headers, "again" + r.dedupe_id) for r in records]
        for records in log.records
    ]
    log.records.clear()
    began = time.perf_counter()
    for records in again:
        await log.log.publish(records)
    return REQUESTS * EVENTS / (time.perf_counter() - began)


async def main() -> int:
    """Print both rates and their ratio; exit code 1 when the claim does not hold."""
    with tempfile.TemporaryDirectory() as scratch:
        server = Nats(Path(scratch))
        await server.start()
        log = await connect(server.url)
        await log.ensure(ANALYTICS_EVENTS, partitions=PARTITIONS)
        kept, decklog, bare = Kept(log), [], []
        for _ in range(ROUNDS):
            decklog.append(await through_decklog(kept))
            bare.append(await straight_to_the_log(kept))
        await log.close()
        await server.stop()
    ratio = statistics.median(decklog) / statistics.median(bare)
    print(f"decklog        {statistics.median(decklog):>10,.0f} events/s")
    print(f"the log alone  {statistics.median(bare):>10,.0f} events/s")
    print(f"ratio          {ratio:>10.2f}  (claim: at least {SHARE})")
    return 0 if ratio >= SHARE else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
