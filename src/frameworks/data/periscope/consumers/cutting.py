"""Records cut into events: how long each is, without keeping an object for any."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from frameworks.contracts.framing import BrokenBatch
from frameworks.contracts.pb.events_v1_pb2 import EventFrames

Numbers = NDArray[np.int64]


def heads(sizes: Numbers) -> Numbers:
    """How long the heads of frames are, by the sizes of the events: a tag, and a varint without needless bytes."""
    found = np.full_like(sizes, 2)
    for bits in (7, 14, 21, 28):
        found += sizes >> bits > 0
    return found


def sizes(batches: Sequence[bytes]) -> tuple[Numbers, Numbers]:
    """The sizes of all events, and how many each batch has; BrokenBatch when `framing.join` would not say it so."""
    counts: list[int] = []

    def cut() -> Iterator[Sequence[bytes]]:
        for batch in batches:
            events = EventFrames.FromString(batch).events
            counts.append(len(events))
            yield events

    try:
        found = np.fromiter(map(len, chain.from_iterable(cut())), np.int64)
    except DecodeError as error:
        raise BrokenBatch("There is a record that is no batch of events.") from error
    # No batch is shorter than as `join` makes it, so when all together are as long, each is as it makes it.
    if (found + heads(found)).sum() != sum(map(len, batches)):
        raise BrokenBatch("There is a record that says more than its events.")
    return found, np.array(counts, np.int64)
