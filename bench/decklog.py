"""Claim: one client gets 60,000 events a second of the published mix through Decklog, each durable before its
acknowledgement; 150,000 when they are of one tenant; and at least half of what the bare log takes.

The load is `bench/running/load.py`: 10 tenants, every event type by its mix, batches of 500 with 50 events of a tenant.
The client is a process with a stream for each identity that the mix needs (a node, and the services that write the
other types), and at most eight unacknowledged batches in all. Client, Decklog (`frameworks run decklog`) and
the log's server are processes that share the machine; calls go through Decklog's socket. The limit, measured in the
same run, is the records that Decklog wrote, published to the same log again, all in flight at once. Beside it stands
the same load within one process: no socket, no gRPC. Metrics and tracing take at most a twentieth of Decklog's
processor time, measured without a log, with and without them in turns.

    python bench/decklog.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import uvloop
from running import load, pipeline, tell_machine
from running.pipeline import CLOCK, NODE, Plane, Words

from frameworks.contracts.pb.decklog_v1_pb2 import PublishRequest
from frameworks.contracts.topics import ANALYTICS_EVENTS
from frameworks.data.decklog import api as decklog_api
from frameworks.data.decklog.api import Api
from frameworks.data.decklog.peers import SignedAttributions, TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.engines.nats import Nats
from frameworks.kit import eventlog, log
from frameworks.kit.clock import uuid7
from frameworks.kit.eventlog import EventLog, Outgoing
from frameworks.kit.identity import Principal, TrustStore, Verifier

BATCHES, ROUNDS, WINDOW = 160, 5, 8
MIX_RATE, ONE_TENANT_RATE, SHARE, TELLING = 60_000, 150_000, 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Caller:
    """As much of a call as Decklog looks at."""

    principal: Principal
    trace: str


@dataclass(frozen=True, slots=True)
class Load:
    """What one client sends: whose events, and from which senders."""

    name: str
    tenants: Sequence[int]
    senders: Sequence[str]

    def batches(self, round_: int, words: Words) -> dict[str, list[PublishRequest]]:
        """New batches by sender."""
        made: dict[str, list[PublishRequest]] = {}
        for number, sender in enumerate(self.senders):
            one = pipeline.batch(sender, self.tenants, round_ * BATCHES + number, words)
            made.setdefault(sender, []).append(one)
        return made


MIXED = Load("the mix", range(load.TENANTS), pipeline.in_turn(BATCHES, seed=1))
ONE_TENANT = Load("one tenant", [0] * load.TENANTS, [NODE] * BATCHES)
EVENTS = BATCHES * load.TENANTS * load.OF_TENANT


async def rate(publishes: dict[str, Any], batches: dict[str, list[PublishRequest]]) -> float:
    """Events a second, sent and acknowledged."""
    window = asyncio.Semaphore(WINDOW)

    async def opened(sender: str) -> AsyncIterator[PublishRequest]:
        for batch in batches[sender]:
            await window.acquire()
            yield batch

    async def send(sender: str) -> int:
        accepted = 0
        async for ack in publishes[sender](opened(sender)):
            window.release()
            assert not ack.refused, ack.refused[0]
            accepted += ack.accepted
        return accepted

    began = time.perf_counter()
    accepted = sum(await asyncio.gather(*map(send, batches)))
    assert accepted == EVENTS
    return EVENTS / (time.perf_counter() - began)


class Nowhere:
    """A log that forgets: what is left is Decklog's own work."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Nothing."""
        await asyncio.sleep(0)


class Untold:
    """Metrics that nobody keeps."""

    def __getattr__(self, _: str) -> Any:
        return self

    def __call__(self, *_: object) -> Any:
        return self


async def telling(words: Words, intake: Intake) -> float:
    """Which part of Decklog's processor time its metrics and its trace take: the least of many rounds, in turns."""
    spent: dict[bool, list[float]] = {True: [], False: []}
    names = vars(decklog_api)
    kept, batches = names["metrics"], MIXED.batches(0, words)
    for round_ in range(4 * ROUNDS):
        told = round_ % 2 == 0
        names["metrics"] = kept if told else Untold()
        began = time.thread_time()
        await rate(in_process(intake, "0" * 32 if told else ""), batches)
        spent[told].append(time.thread_time() - began)
    names["metrics"] = kept
    return min(spent[True]) / min(spent[False]) - 1


def in_process(intake: Intake, trace: str) -> dict[str, Any]:
    """Sender → publishing without a socket."""
    api: Any = Api(intake)
    return {
        sender: partial(api.Publish, call=Caller(pipeline.principal(sender), trace))
        for sender in pipeline.SENDERS
    }


async def written(target: EventLog, since: Mapping[int, int]) -> list[Outgoing]:
    """The records from offsets on, as new ones."""
    return [
        Outgoing(record.topic, record.partition, record.value, record.headers, uuid7().hex)
        async for record in target.replay(ANALYTICS_EVENTS, start=since)
    ]


async def bare(target: EventLog, records: Sequence[Outgoing]) -> float:
    """Events a second of the same records, straight to the log."""
    began = time.perf_counter()
    await target.publish(records)
    return EVENTS / (time.perf_counter() - began)


async def measure(
    plane: Plane, target: EventLog, ways: dict[str, dict[str, Any]], one: Load
) -> dict[str, float]:
    """Medians of every way and of the bare log, taken in turns."""
    words, found, round_ = plane.words(load.TENANTS), dict[str, list[float]](), 0
    for _ in range(ROUNDS):
        for way, publishes in ways.items():
            round_ += 1
            batches = one.batches(round_, words)
            since = (await target.extent(ANALYTICS_EVENTS)).end
            before = plane.processor()
            found.setdefault(way, []).append(await rate(publishes, batches))
            used = pipeline.microseconds(before, plane.processor(), EVENTS)
            print(
                f"  {way:<10} {found[way][-1]:>10,.0f}  load {psutil.getloadavg()[0]:.1f}; µs an event: {used}"
            )
        records = await written(target, since)
        found.setdefault("bare", []).append(await bare(target, records))
        print(f"  {'bare':<10} {found['bare'][-1]:>10,.0f}  {len(records)} records", flush=True)
    return {way: statistics.median(rates) for way, rates in found.items()}


def tell(one: Load, found: dict[str, float], claim: int) -> bool:
    """Print the figures of a load; whether they keep the claim."""
    through, share = found["socket"], found["socket"] / found["bare"]
    kept = through >= claim and share >= SHARE
    print(f"{one.name}: through Decklog's socket {through:,.0f} events/s (claim: at least {claim:,})")
    print(f"{one.name}: in one process {found['process']:,.0f}, the log alone {found['bare']:,.0f} events/s")
    print(f"{one.name}: ratio {share:.2f} (claim: at least {SHARE}): {'holds' if kept else 'DOES NOT HOLD'}")
    return kept


async def main() -> int:
    """Print rates and ratios; exit code 1 when a claim does not hold."""
    log.setup("ERROR")
    tell_machine()
    async with AsyncExitStack() as stack:
        plane = Plane(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fw"))), stack)
        plane.env["FRAMEWORKS_EVENTLOG"] = await plane.engine("nats", Nats(plane.home / "nats"))
        await plane.run("decklog")
        target = await eventlog.connect(plane.env["FRAMEWORKS_EVENTLOG"])
        stack.push_async_callback(target.close)
        verifier = Verifier(TrustStore(plane.home / "keys"), CLOCK)
        words, to = SignedAttributions(verifier, capacity=1000), TopicLog(target, CLOCK, region="local")
        ways: dict[str, dict[str, Any]] = {
            "process": in_process(Intake(words, to, CLOCK, region="local"), "0" * 32),
            "socket": {sender: stub.Publish for sender, stub in plane.senders().items()},
        }
        nowhere: Any = Nowhere()
        alone = Intake(words, TopicLog(nowhere, CLOCK, region="local"), CLOCK, region="local")
        cost = await telling(plane.words(load.TENANTS), alone)
        mixed = await measure(plane, target, ways, MIXED)
        one_tenant = await measure(plane, target, ways, ONE_TENANT)
    kept = [tell(MIXED, mixed, MIX_RATE), tell(ONE_TENANT, one_tenant, ONE_TENANT_RATE)]
    kept.append(cost <= TELLING)
    verdict = "holds" if kept[-1] else "DOES NOT HOLD"
    print(
        f"metrics and trace: {cost:+.1%} of Decklog's processor time (claim: at most {TELLING:.0%}): {verdict}"
    )
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
