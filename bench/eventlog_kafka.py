"""Claim: the Kafka adapter of the event log keeps at least 0.7 of what bare librdkafka does with 256 KB records.

Records with headers are published in windows, then read by a member of a group and committed. The limit, measured in
the same run against the same broker with the same settings, is confluent-kafka alone: produce and flush, consume and
commit, in a plain loop. Everything is on one machine, and the broker syncs every batch to its disk.

    python bench/eventlog_kafka.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from frameworks.engines.kafka import Kafka
from frameworks.kit.clock import random_bytes, random_text
from frameworks.kit.eventlog import EventLog, Outgoing, Retention, connect
from frameworks.kit.eventlog.kafka_address import parse
from frameworks.kit.eventlog.kafka_reading import CONSUMER
from frameworks.kit.eventlog.kafka_writing import PRODUCER

RECORDS, WINDOW, ROUNDS, PARTITIONS = 400, 50, 3, 8
SIZE = 256 * 1024
SHARE = 0.7
TOPIC = "bench"
HEADERS = {"tenant_id": random_text(36), "event_type": "stream-lifecycle", "source": "service:bench"}
VALUES = [random_bytes(SIZE // 4) * 4 for _ in range(16)]


def records() -> list[Outgoing]:
    """What both sides write."""
    return [
        Outgoing(TOPIC, n % PARTITIONS, VALUES[n % len(VALUES)], HEADERS, random_text(40))
        for n in range(RECORDS)
    ]


async def through_the_port(log: EventLog) -> tuple[float, float]:
    """Records a second: published, read."""
    batch = records()
    async with log.subscribe(TOPIC, group=f"port-{random_text(6)}", start="latest") as reader:
        began = time.perf_counter()
        for first in range(0, RECORDS, WINDOW):
            await log.publish(batch[first : first + WINDOW])
        written = time.perf_counter() - began
    async with log.subscribe(TOPIC, group=f"port-{random_text(6)}") as reader:
        await reader.rewind()
        began, count = time.perf_counter(), 0
        while count < RECORDS:
            found = await reader.fetch(256, 1.0)
            count += len(found)
            await reader.commit(found)
        return RECORDS / written, RECORDS / (time.perf_counter() - began)


def bare(options: dict[str, object]) -> tuple[float, float]:
    """The same with confluent-kafka alone."""
    producer = Producer({**options, **PRODUCER})
    batch = records()
    producer.produce(TOPIC, b"", partition=0)
    producer.flush(30)
    began = time.perf_counter()
    for first in range(0, RECORDS, WINDOW):
        for record in batch[first : first + WINDOW]:
            producer.produce(
                TOPIC, record.value, b"", record.partition, headers={**HEADERS, "id": record.dedupe_id}
            )
        producer.flush(30)
    written = time.perf_counter() - began
    consumer = Consumer({**options, **CONSUMER, "group.id": f"bare-{random_text(6)}"})
    consumer.subscribe([TOPIC])
    while not consumer.assignment():
        consumer.poll(0.01)
    consumer.assign([TopicPartition(TOPIC, n, 0) for n in range(PARTITIONS)])
    began, count = time.perf_counter(), 0
    while count < RECORDS:
        found = consumer.consume(256, 0) or [m for m in [consumer.poll(0.02)] if m is not None]
        count += len([message.value() for message in found])
        if found:
            places = {m.partition(): (m.offset() or 0) + 1 for m in found}
            consumer.commit(
                offsets=[TopicPartition(TOPIC, n or 0, o) for n, o in places.items()], asynchronous=False
            )
    read = time.perf_counter() - began
    consumer.close()
    return RECORDS / written, RECORDS / read


async def main() -> int:
    """Print the rates and their ratios; exit code 1 when the claim does not hold."""
    port, limit = [], []
    with tempfile.TemporaryDirectory() as scratch:
        broker = Kafka(Path(scratch))
        await broker.start()
        address = parse(broker.url)
        options = {"bootstrap.servers": address.brokers, **address.options}
        log = await connect(broker.url)
        await log.ensure(TOPIC, partitions=PARTITIONS, retention=Retention(max_bytes=8 * 1024**3))
        for _ in range(ROUNDS):
            port.append(await through_the_port(log))
            limit.append(await asyncio.to_thread(bare, options))
        await log.close()
        await broker.stop()
    held = True
    for place, what in enumerate(("publish", "read and commit")):
        ours = statistics.median(one[place] for one in port)
        alone = statistics.median(one[place] for one in limit)
        ratio = ours / alone
        print(
            f"{what:16} {ours:>8,.0f} records/s of 256 KB; confluent-kafka alone {alone:>8,.0f}; ratio {ratio:.2f}"
        )
        held &= ratio >= SHARE
    print(f"claim: at least {SHARE}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
