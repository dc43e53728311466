"""A restart of Helmsman: what it answered for before it was killed, it knows afterwards."""

from pathlib import Path

import msgspec
import pytest
from helmsman_fakes import ADMITTED, RUNTIME, Platform, push, trigger, user_end, user_new

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.files import Disk, DiskRefused
from frameworks.kit.geo import Geo
from frameworks.kit.wal import WriteAheadLog
from frameworks.media.helmsman.peers.recorder import EventRecorder
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing
from frameworks.media.helmsman.store import Memory, NodeFiles, Remembered


class Life:
    """One process of Helmsman on a node's directory; the next one finds what this one left."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        platform, clock, geo = Platform(), FakeClock(), Geo(None)
        self.wal = WriteAheadLog(directory / "wal", segment_bytes=200, files=disk)
        delivery = EventDelivery("helmsman", self.wal, None, clock)  # type: ignore[arg-type]
        recorder = EventRecorder(delivery, node="n1", cluster="c1")
        self.memory = Memory(NodeFiles(directory), delivery)
        self.publishing = Publishing(platform, recorder, platform, platform, geo, clock)
        self.viewing = Viewing(platform, recorder, platform, geo, clock, node="n1", hash_key=b"k")
        kept = self.memory.recall()
        self.publishing.publishers.update(kept.publishers)
        self.viewing.restore(kept.streams, kept.sessions)

    def knows(self) -> Remembered:
        """What is in memory."""
        return Remembered(
            publishers=self.publishing.publishers,
            sessions=self.viewing.sessions,
            streams=list(self.viewing.known.values()),
        )

    async def keep(self) -> None:
        """The snapshot that is taken every second; what Decklog has taken leaves the log."""
        await self.memory.keep(self.knows())
        if pending := self.wal.pending(max_records=1000):
            await self.wal.acknowledge(pending[-1][0])

    async def step(self, number: int) -> None:
        """One trigger of a story."""
        match number:
            case 0:
                await self.publishing.admit(push())
            case 1:
                await self.publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
            case 2 | 3:
                assert (await self.viewing.opened(user_new(f"session-{number}"))).body == "true"
            case 4:
                await self.viewing.closed(user_end("session-2"))
            case 5:
                await self.publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "EMPTY"))
            case 6:
                await self.publishing.ended(trigger("STREAM_END", RUNTIME, "1", "2", "0"))
            case 7:
                await self.viewing.closed(user_end("session-3"))


STEPS = 8


def connections(directory: Path) -> list[tuple[str, str]]:
    """(action, session) of every connection event in the log, in order."""
    found = []
    for path in sorted((directory / "wal").glob("*.wal")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 4], "little")
            stored = msgspec.msgpack.decode(content[at + 8 : at + 8 + length])
            for event in events.EventBatch.FromString(stored[-1]).events:
                if event.type == "user-connection":
                    found.append((event.user_connection.action, event.user_connection.session_id))
            at += 8 + length
    return found


@pytest.mark.parametrize("kept_every", [1, 2, 3, 100])
@pytest.mark.parametrize("killed_every", [1, 2, 3])
async def test_a_kill_after_any_answer_loses_nothing(
    tmp_path: Path, kept_every: int, killed_every: int
) -> None:
    life = Life(tmp_path)
    for number in range(STEPS):
        await life.step(number)
        if number % kept_every == kept_every - 1:
            await life.keep()
        if number % killed_every == killed_every - 1:
            before, life = life.knows(), Life(tmp_path)
            assert life.knows().publishers == before.publishers
            assert life.knows().sessions == before.sessions
    assert life.knows().publishers == {}
    assert life.knows().sessions == {}


async def test_every_session_ends_in_the_record_however_often_helmsman_is_killed(tmp_path: Path) -> None:
    for number in range(STEPS):
        await Life(tmp_path).step(number)
    told = connections(tmp_path)
    assert sorted(action for action, _ in told) == ["connect", "connect", "disconnect", "disconnect"]
    assert len({session for _, session in told}) == 2


class TornAppend(Disk):
    """A disk with room for so many bytes of an append, until it is told otherwise."""

    def __init__(self, room: int) -> None:
        self.room: int | None = room

    def append(self, path: Path, content: bytes) -> None:
        super().append(path, content[: self.room])
        if self.room is not None:
            raise DiskRefused("full")


@pytest.mark.parametrize("room", [0, 100, 500])
async def test_an_admission_that_was_not_recorded_whole_is_recorded_again(tmp_path: Path, room: int) -> None:
    disk = TornAppend(room)
    life = Life(tmp_path, disk)
    with pytest.raises(Unavailable):
        await life.publishing.admit(push())
    assert life.publishing.publishers == {}
    disk.room = None
    again = Life(tmp_path, disk)
    assert again.publishing.publishers == {}
    assert (await again.publishing.admit(push())).body == RUNTIME
    assert Life(tmp_path).publishing.publishers.keys() == {ADMITTED.internal_name}
