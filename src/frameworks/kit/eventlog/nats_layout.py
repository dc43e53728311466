"""How topics lie in JetStream: a stream for each partition, so that partitions are synced to disk beside each other.

A stream syncs one record after the other; eight streams have eight records on their way to the disk.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig, StreamInfo, StreamSource
from nats.js.errors import KeyWrongLastSequenceError, NoKeysError, NotFoundError

from frameworks.kit import log
from frameworks.kit.clock import SystemClock
from frameworks.kit.eventlog import MAX_VALUE, NoShrinking, Retention

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

OFFSETS = "frameworks_offsets"
LEAST_KEPT = 2 * MAX_VALUE
"""Bytes kept of every partition, however little the topic may hold."""
COPY_LOOK = 0.1


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a group got in a partition, and the member that has it ('' when nobody)."""

    done: int
    owner: str
    own_stream: bool = False
    """Whether `done` counts in the partition's own stream."""


def stream_of(topic: str, partition: int) -> str:
    """The stream that holds a partition: a stream's name has no dots."""
    return f"{_flat(topic)}-{partition}"


def partitions_of(config: StreamConfig) -> int:
    """How many partitions the topic of this stream has; 0 while it is being made."""
    return int((config.metadata or {}).get("partitions", "0"))


async def ensure(js: JetStreamContext, topic: str, partitions: int, retention: Retention) -> None:
    """Create or update the streams of a topic; NoShrinking when it has more partitions than asked for."""
    await _split(js, topic, partitions, retention)
    before = 0
    with suppress(NotFoundError):
        before = partitions_of((await js.stream_info(stream_of(topic, 0))).config)
    if before > partitions:
        raise NoShrinking(f"{topic} has {before} partitions, not {partitions}.")
    wanted = [_stream(topic, number, partitions, retention) for number in range(partitions)]
    await asyncio.gather(*(_put(js, config) for config in wanted[1:]))
    await _put(js, wanted[0])  # says how many there are, so it comes when they are there


async def _put(js: JetStreamContext, wanted: StreamConfig) -> None:
    try:
        await js.update_stream(wanted)
    except NotFoundError:
        await js.add_stream(wanted)


def _stream(topic: str, partition: int, partitions: int, retention: Retention) -> StreamConfig:
    return StreamConfig(
        name=stream_of(topic, partition),
        subjects=[f"{topic}.{partition}"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=retention.max_age.total_seconds(),
        max_bytes=max(retention.max_bytes // partitions, LEAST_KEPT),
        duplicate_window=min(retention.dedupe_window, retention.max_age).total_seconds(),
        metadata={"partitions": str(partitions)},
    )


async def _split(js: JetStreamContext, topic: str, partitions: int, retention: Retention) -> None:
    """Move a topic that lies in one stream, as all did once, into streams of its partitions.

    Groups go on where they were. Every step can be repeated; nobody finds the new streams before they say how many they
    are.
    """
    try:
        old = await js.stream_info(_flat(topic))
    except NotFoundError:
        return
    aside = [f"frameworks.moved.{topic}.*"]
    if old.config.subjects not in ([f"{topic}.*"], aside):
        return
    partitions = max(partitions, partitions_of(old.config))
    log.get("eventlog").info(
        "topic.splitting", topic=topic, partitions=partitions, records=old.state.messages
    )
    await js.update_stream(old.config.evolve(subjects=aside))
    await asyncio.gather(*(_copy(js, topic, number, partitions, retention) for number in range(partitions)))
    await _move_groups(js, topic)
    for number in reversed(range(partitions)):
        await js.update_stream(_stream(topic, number, partitions, retention))
    await js.delete_stream(_flat(topic))


async def _copy(
    js: JetStreamContext, topic: str, partition: int, partitions: int, retention: Retention
) -> None:
    """Let the server copy a partition's records, in order, into a stream of their own."""
    wanted = _stream(topic, partition, partitions, retention)
    source = StreamSource(name=_flat(topic), filter_subject=f"{topic}.{partition}")
    await _put(js, wanted.evolve(metadata={}, sources=[source]))
    while not _copied(await js.stream_info(str(wanted.name))):
        await SystemClock().sleep(COPY_LOOK)


def _copied(found: StreamInfo) -> bool:
    return bool(found.sources) and all(
        source.lag == 0 and (source.active or -1) >= 0 for source in found.sources or ()
    )


async def _move_groups(js: JetStreamContext, topic: str) -> None:
    """Count what groups have done in the new streams."""
    offsets = await js.create_key_value(bucket=OFFSETS, storage=StorageType.FILE)
    try:
        keys = await offsets.keys()
    except NoKeysError:
        return
    for key in [key for key in keys if key.rsplit(".", 2)[0] == topic]:
        await _move_group(js, offsets, key, stream_of(topic, int(key.rsplit(".", 1)[1])))


async def _move_group(js: JetStreamContext, offsets: "KeyValue", key: str, stream: str) -> None:
    found = await offsets.get(key)
    entry = msgspec.json.decode(found.value or b"", type=Entry)
    if entry.own_stream:
        return
    moved = Entry(await _position(js, stream, entry.done), "", own_stream=True)
    try:
        await offsets.update(key, msgspec.json.encode(moved), last=found.revision)
    except KeyWrongLastSequenceError:  # someone else moved it
        return


async def _position(js: JetStreamContext, stream: str, done: int) -> int:
    """The last offset of a stream whose record was at most the `done`-th where it was copied from."""
    state = (await js.stream_info(stream)).state
    low, high = max(state.first_seq, 1) - 1, state.last_seq
    while low < high:
        middle = (low + high + 1) // 2
        record = await js.get_msg(stream, middle)
        if int((record.headers or {})["Nats-Stream-Source"].split()[1]) <= done:
            low = middle
        else:
            high = middle - 1
    return low


def _flat(topic: str) -> str:
    return topic.replace(".", "__")
