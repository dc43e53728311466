"""Taking a batch: what is poison, what is only a dependency that is away, and in which order things happen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from frameworks.contracts.framing import frame, split
from frameworks.data.periscope.domain import (
    BadFrames,
    Decoded,
    Mark,
    Part,
    SessionChange,
    StreamChange,
    UsageKey,
)
from frameworks.data.periscope.service.ingest import Arrived, Ingest, Letter, Source
from frameworks.kit.errors import Unavailable


@dataclass
class Engines:
    """Sinks that write down what they are asked, in order."""

    poison: frozenset[bytes] = frozenset()
    well: bool = True
    done: list[str] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def door(self, kind: str) -> str:
        """What is said of streams shares one."""
        return "streams" if kind.startswith("stream-") else kind

    async def insert(self, kind: str, frames: Sequence[bytes]) -> None:
        """All or nothing."""
        found = [framed for part in frames for framed in split(part)]
        self.done.append(f"insert {len(found)} {kind}")
        if self.poison & set(found):
            raise BadFrames("There is a bad one.")
        self.stored += found

    async def probe(self, kind: str) -> None:
        """Whether the engine is well."""
        if not self.well:
            raise Unavailable("The table is gone.")

    async def mark(self, dirty: Collection[Mark]) -> None:
        """Marks come after facts."""
        self.done.append("mark")

    async def mark_usage(self, used: Sequence[UsageKey]) -> None:
        """So do windows of usage."""
        self.done.append("mark usage")

    async def reduce(self, streams: Sequence[StreamChange], sessions: Sequence[SessionChange]) -> None:
        """State comes after marks."""
        self.done.append("reduce")

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Dead letters come last."""
        self.done.append("bury")
        self.letters += letters


def record(*frames: bytes, bad: tuple[bytes, ...] = (), kind: str = "stream-metrics") -> Arrived:
    """A decoded record."""
    part = Part(memoryview(b"".join(frames)), np.zeros(len(frames), np.int64))
    decoded = Decoded(parts={kind: part} if frames else {}, bad=[(0, framed) for framed in bad])
    return Arrived(decoded, [Source({"tenant_id": "a"}, "t/0/1")])


FRAMES = [frame(b"%d" % number) for number in range(16)]


async def test_facts_come_before_marks_before_state() -> None:
    engines = Engines()
    taken = await Ingest(engines, engines, engines, engines).take([record(*FRAMES)])
    assert engines.done == ["insert 16 stream-metrics", "mark", "reduce"]
    assert (taken.stored, taken.buried) == (16, 0)


@pytest.mark.parametrize("poison", [{0}, {15}, {3, 4}, {0, 7, 15}, set(range(16))])
async def test_bad_frames_are_found_by_halves_and_nothing_else_is_lost(poison: set[int]) -> None:
    engines = Engines(poison=frozenset(FRAMES[number] for number in poison))
    taken = await Ingest(engines, engines, engines, engines).take([record(*FRAMES[:9]), record(*FRAMES[9:])])
    assert sorted(engines.stored) == sorted(set(FRAMES) - engines.poison)
    assert {letter.frame for letter in engines.letters} == engines.poison
    assert (taken.stored, taken.buried) == (16 - len(poison), len(poison))


async def test_types_that_share_a_door_are_inserted_together_and_halved_together() -> None:
    engines = Engines(poison=frozenset({FRAMES[1], FRAMES[6]}))
    of_streams = [record(*FRAMES[:4]), record(*FRAMES[4:8], kind="stream-buffer")]
    batch = [*of_streams, record(*FRAMES[8:], kind="player-boot")]
    taken = await Ingest(engines, engines, engines, engines).take(batch)
    assert {"insert 8 stream-buffer", "insert 8 player-boot"} <= set(engines.done)
    assert sorted(engines.stored) == sorted(set(FRAMES) - engines.poison)
    assert {letter.frame for letter in engines.letters} == engines.poison
    assert (taken.stored, taken.buried, taken.unclaimed) == (14, 2, 0)


async def test_what_no_table_claims_is_counted_by_its_envelopes() -> None:
    engines = Engines(poison=frozenset({FRAMES[1]}))
    batch = [record(*FRAMES[:4], kind="gossip"), record(*FRAMES[4:], kind="track-list")]
    taken = await Ingest(engines, engines, engines, engines).take(batch)
    assert (taken.stored, taken.buried, taken.unclaimed) == (15, 1, 3)


async def test_an_engine_that_refuses_everything_is_waited_for() -> None:
    engines = Engines(poison=frozenset(FRAMES), well=False)
    with pytest.raises(Unavailable):
        await Ingest(engines, engines, engines, engines).take([record(*FRAMES)])
    assert engines.done == ["insert 16 stream-metrics"]
    assert not engines.letters


async def test_bytes_that_were_no_event_are_buried_with_where_they_came_from() -> None:
    engines = Engines()
    await Ingest(engines, engines, engines, engines).take([record(FRAMES[0], bad=(b"junk",))])
    (letter,) = engines.letters
    assert (letter.frame, letter.origin, letter.headers) == (b"junk", "t/0/1", {"tenant_id": "a"})
