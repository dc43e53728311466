"""Claim: an edge's events reach history at 40,000 a second for a minute, and no process grows meanwhile.

The way of an event: a write-ahead log on disk, its delivery, Decklog's socket, the log (each record synced), Periscope,
the analytics engine, and a count by query. Every part is a process as an operator runs it, on this machine; the edge is
this process, an enrolled node and the services that write the other types of `bench/running/load.py`'s mix.
Events are offered at a fixed rate while the write-ahead logs have room; the figure is every event the query counts,
over the time from the first until the last was counted.

    python bench/end_to_end.py [--seconds 60] [--rate 44000]
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop
from running import load, pipeline, tell_machine
from running.pipeline import CLOCK, SENDERS, SHARES, Plane, Words

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.data.periscope.store.tables import FACTS, declared
from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit import analytics, log
from frameworks.kit.analytics import Analytics, Scope
from frameworks.kit.clock import micros
from frameworks.kit.wal import WriteAheadLog

CLAIM, OFFERED, SECONDS = 40_000, 44_000, 60.0
GROWTH = 0.5
"""MB a second that a process may grow in the second half: the resolution of half a minute's samples."""
TEMPLATES, BATCH = 12, load.TENANTS * load.OF_TENANT
BACKLOG = 64 << 20
PATIENCE = 120.0
RENEWED = 0.02
"""How often a template is made anew: a message keeps every value it ever had, and this process is watched too."""

Groups = dict[str, list[Event]]
"""Attribution → events."""


@dataclass(slots=True)
class Edge:
    """Makes events and delivers them."""

    deliveries: dict[str, EventDelivery]
    templates: dict[str, list[Groups]]
    recorded: int = 0
    making: float = 0.0
    """Processor seconds that went into ids and times, and not into their delivery."""

    async def offer(self, rate: float, seconds: float) -> None:
        """Record events at a rate, as long as there is room."""
        chance, began = random.Random(1), time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            if self.recorded > rate * (now - began) or self.backlog() > BACKLOG:
                await asyncio.sleep(0.005)
                continue
            (sender,) = chance.choices(list(SHARES), list(SHARES.values()))
            template = chance.choice(self.templates[sender])
            await self._record(self.deliveries[sender], template)
            self.recorded += BATCH
            if chance.random() < RENEWED:
                template |= {word: _copies(events) for word, events in template.items()}

    def backlog(self) -> int:
        """Bytes that wait for Decklog."""
        return sum(delivery.lag_bytes() for delivery in self.deliveries.values())

    async def _record(self, delivery: EventDelivery, groups: Groups) -> None:
        began = time.thread_time()
        at, ids = micros(CLOCK.now()), iter(load.ids(BATCH))
        for events in groups.values():
            for event in events:
                event.event_id = next(ids)
                event.occurred_at = at
        self.making += time.thread_time() - began
        await asyncio.gather(*(delivery.record_all(events, word) for word, events in groups.items()))


def _copies(events: Sequence[Event]) -> list[Event]:
    return [Event.FromString(event.SerializeToString()) for event in events]


@dataclass(slots=True)
class Watch:
    """Resident memory of every process, once a second, and how many events a query counts."""

    plane: Plane
    store: Analytics
    edge: Edge
    memory: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    async def look(self) -> None:
        """For ever."""
        began = time.monotonic()
        while True:
            self.memory.append((time.monotonic() - began, self.plane.memory()))
            if len(self.memory) % 10 == 0:
                print(
                    f"  {time.monotonic() - began:>4.0f} s: recorded {self.edge.recorded:,}, "
                    f"waiting for Decklog {self.edge.backlog() / 1e6:.0f} MB, counted {await self.counted():,}, "
                    f"load {psutil.getloadavg()[0]:.1f}",
                    flush=True,
                )
            await asyncio.sleep(1)

    async def counted(self) -> int:
        """Events in history."""
        tables = " UNION ALL ".join(f"SELECT count() AS n FROM periscope.{name}" for name in FACTS)
        rows = await self.store.query(
            f"SELECT sum(n) AS n FROM ({tables})", {}, Scope.system("a bench counts")
        )
        return int(rows[0]["n"])

    async def all_counted(self) -> int:
        """Events in history once it has what was recorded, or when patience ends."""
        until = time.monotonic() + PATIENCE
        while True:
            counted = await self.counted()
            if counted >= self.edge.recorded or time.monotonic() > until:
                return counted
            await asyncio.sleep(0.2)

    def growth(self) -> dict[str, float]:
        """MB a second by which each process grew in the second half, fitted."""
        late = self.memory[len(self.memory) // 2 :]
        times = [at for at, _ in late]
        return {
            name: statistics.linear_regression(times, [sizes[name] / 1e6 for _, sizes in late]).slope
            for name in late[0][1]
        }


def templates(sender: str, words: Words) -> list[Groups]:
    """Batches of a sender, to be sent again and again with ids and times of their own."""
    made = []
    for seed in range(TEMPLATES):
        groups: Groups = {}
        for event, role in pipeline.events(sender, range(load.TENANTS), seed):
            groups.setdefault(words[event.tenant_id, role] if role else "", []).append(event)
        made.append(groups)
    return made


async def platform(stack: AsyncExitStack) -> tuple[Plane, Analytics]:
    """Engines, Decklog and Periscope."""
    plane = Plane(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fw"))), stack)
    plane.env["FRAMEWORKS_EVENTLOG"] = await plane.engine("nats", Nats(plane.home / "nats"))
    plane.env["FRAMEWORKS_DATABASE"] = await plane.engine(
        "postgres", EmbeddedPostgres(plane.home / "postgres")
    )
    plane.env["FRAMEWORKS_ANALYTICS"] = await plane.engine(
        "clickhouse", ClickHouse(plane.home / "clickhouse")
    )
    await plane.run("decklog")
    await plane.run("periscope-ingest")
    store = await analytics.connect(plane.env["FRAMEWORKS_ANALYTICS"])
    stack.push_async_callback(store.close)
    store.declare(*declared())
    return plane, store


def edge_of(plane: Plane) -> Edge:
    """A write-ahead log and a delivery for each sender."""
    words, deliveries = plane.words(load.TENANTS), {}
    for sender, stub in plane.senders().items():
        wal = WriteAheadLog(plane.home / "wal" / sender)
        deliveries[sender] = EventDelivery(sender, wal, stub, CLOCK)
    return Edge(deliveries, {sender: templates(sender, words) for sender in SENDERS})


async def run(seconds: float, offered: float) -> tuple[float, dict[str, float]]:
    """Events a second from the first record to the last count, and each process's growth."""
    async with AsyncExitStack() as stack:
        plane, store = await platform(stack)
        edge = edge_of(plane)
        watch = Watch(plane, store, edge)
        tasks = [asyncio.create_task(delivery.run()) for delivery in edge.deliveries.values()]
        watching = asyncio.create_task(watch.look())
        tasks.append(watching)
        before, began = plane.processor(), time.monotonic()
        await edge.offer(offered, seconds)
        counted = await watch.all_counted()
        took = time.monotonic() - began
        used = pipeline.microseconds(before, plane.processor(), edge.recorded)
        await _end(tasks)
        making = edge.making / edge.recorded * 1e6
        print(f"recorded {edge.recorded:,}, counted {counted:,} events in {took:.1f} s")
        print(f"processor time, µs an event: {used}; the client made them in {making:.1f} of its share")
        if counted != edge.recorded:
            print("events are missing, or there are too many")
            return 0.0, watch.growth()
        return counted / took, watch.growth()


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def main() -> int:
    """Print the rate and every process's growth; exit code 1 when the claim does not hold."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--seconds", type=float, default=SECONDS)
    options.add_argument("--rate", type=float, default=OFFERED)
    chosen = options.parse_args()
    log.setup("ERROR")
    tell_machine()
    rate, growth = await run(chosen.seconds, chosen.rate)
    for name, slope in growth.items():
        print(f"{name:<18} grew {slope:+.2f} MB/s (claim: at most {GROWTH})")
    kept = rate >= CLAIM and max(growth.values()) <= GROWTH
    verdict = "holds" if kept else "DOES NOT HOLD"
    print(f"from the edge to a count: {rate:,.0f} events/s (claim: at least {CLAIM:,}): {verdict}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
