"""What players tell with their requests becomes sums under the attribution of the view."""

from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest
from helmsman_fakes import STREAM, VIEWABLE, Platform, user_end, user_new
from msgspec.structs import replace as replaced

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Fact
from frameworks.media.helmsman.service.telling import AWAY_MS, Said, Saying, Telling
from frameworks.media.helmsman.service.viewing import Viewing


@dataclass
class Node:
    """A node with players that talk."""

    iid: str = "boot-1"
    data: list[Saying] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    away: bool = False

    def hear(self, session: str, ms: int, text: str) -> None:
        """A request with a report."""
        number = self.data[-1].number + 1 if self.data else 1
        self.data.append(Saying(number, session, ms, text))

    async def said(self, iid: str, after: int) -> Said:
        """All of it, whatever was told before."""
        if self.away:
            raise Unavailable("away")
        self.asked.append((iid, after))
        return Said(self.iid, list(self.data))


@dataclass
class Disk:
    """A recorder whose disk may be full."""

    platform: Platform
    full: bool = False

    async def record(self, *facts: Fact, noted: msgspec.Struct | None = None) -> None:
        """Keep them, or nothing."""
        if self.full:
            raise Unavailable("full")
        await self.platform.record(*facts, noted=noted)


@dataclass
class Scene:
    """A node with one viewer."""

    platform: Platform
    viewing: Viewing
    node: Node
    disk: Disk
    telling: Telling

    async def told(self) -> list[Fact]:
        """What the next turn tells."""
        self.platform.facts.clear()
        await self.telling.take()
        return list(self.platform.facts)


@pytest.fixture
async def scene() -> Scene:
    clock, platform, node = FakeClock(), Platform(), Node()
    platform.viewable = replaced(VIEWABLE, max_viewers=0)
    viewing = Viewing(platform, platform, platform, Geo(None), clock, node="n1", hash_key=b"k")
    await viewing.opened(user_new("s1"))
    disk = Disk(platform)
    telling = Telling(node, viewing, disk, clock, name="n1", every=timedelta(seconds=10))
    return Scene(platform, viewing, node, disk, telling)


async def test_requests_come_to_sums_of_their_session(scene: Scene) -> None:
    scene.node.hear("s1", 1_000, 'sid="p",ot=v,br=900,su')
    scene.node.hear("s1", 2_000, 'sid="p",ot=v,br=900')
    scene.node.hear("s1", 8_000, 'sid="p",ot=v,br=900,bs,ltc=2100')
    (fact,) = await scene.told()
    assert (fact.kind, fact.subject.attribution, fact.subject.stream_id) == (
        "player-session",
        "attr-view",
        STREAM,
    )
    body = fact.body
    assert (body["session_id"], body["played_ms"], body["stalls"]) == ("p", 6_000, 1)
    assert (body["bitrate_ms"], body["latency_ms_sum"], body["report"]) == (6_000 * 900, 2_100, "cmcd")
    scene.node.hear("s1", 12_000, 'sid="p",ot=v,br=900')
    (later,) = await scene.told()
    assert later.body["played_ms"] == 4_000
    assert later.event_id != fact.event_id


async def test_what_was_told_is_not_asked_for_nor_counted_again(scene: Scene) -> None:
    scene.node.hear("s1", 1_000, 'sid="p"')
    assert len(await scene.told()) == 1
    assert await scene.told() == []
    assert scene.node.asked == [("", 0), ("boot-1", 1)]


async def test_a_node_that_started_anew_counts_from_its_first_word(scene: Scene) -> None:
    for ms in (1_000, 2_000, 3_000):
        scene.node.hear("s1", ms, 'sid="p"')
    await scene.told()
    scene.node.iid, scene.node.data = "boot-2", []
    scene.node.hear("s1", 4_000, 'sid="p"')
    (fact,) = await scene.told()
    assert fact.body["played_ms"] == 1_000


async def test_the_start_delay_makes_a_boot(scene: Scene) -> None:
    scene.node.hear("s1", 1_000, 'sid="p",sn=0,sta=s,v=2')
    scene.node.hear("s1", 2_000, 'sid="p",sn=1,sta=p,msd=850,v=2')
    boot, session = await scene.told()
    assert (boot.kind, boot.body["outcome"], boot.body["first_frame_ms"]) == ("player-boot", "playing", 850)
    assert (session.kind, session.body["sequence"]) == ("player-session", 1)


async def test_silence_is_not_taken_for_playing(scene: Scene) -> None:
    scene.node.hear("s1", 0, 'sid="p"')
    scene.node.hear("s1", 3_600_000, 'sid="p"')
    (fact,) = await scene.told()
    assert fact.body["played_ms"] == AWAY_MS + 10_000


async def test_sessions_that_are_not_open_here_are_not_spoken_of(scene: Scene) -> None:
    scene.node.hear("s2", 1_000, 'sid="p"')
    assert await scene.told() == []


async def test_who_left_since_is_told_of_once_more(scene: Scene) -> None:
    scene.node.hear("s1", 1_000, 'sid="p"')
    await scene.told()
    await scene.viewing.closed(user_end("s1"))
    scene.node.hear("s1", 5_000, 'sid="p"')
    (fact,) = await scene.told()
    assert fact.body["played_ms"] == 4_000
    scene.node.hear("s1", 9_000, 'sid="p"')
    assert await scene.told() == []


async def test_one_viewer_does_not_speak_for_another(scene: Scene) -> None:
    await scene.viewing.opened(user_new("s2"))
    scene.node.hear("s1", 1_000, 'sid="p",sn=1,v=2')
    scene.node.hear("s2", 1_000, 'sid="p",sn=900,v=2')
    assert len(await scene.told()) == 2
    scene.node.hear("s1", 3_000, 'sid="p",sn=2,v=2')
    (fact,) = await scene.told()
    assert fact.body["played_ms"] == 2_000


async def test_what_is_no_cmcd_takes_nothing_along(scene: Scene) -> None:
    for text in ("", "sid=,", "br=900,ot=v", "\x00", 'sid="ü"'):
        scene.node.hear("s1", 1_000, text)
    scene.node.hear("s1", 2_000, 'sid="p"')
    assert [fact.body["session_id"] for fact in await scene.told()] == ["p"]


async def test_sums_wait_while_the_disk_is_full(scene: Scene) -> None:
    scene.node.hear("s1", 1_000, 'sid="p"')
    scene.node.hear("s1", 3_000, 'sid="p"')
    scene.disk.full = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await scene.told()
    assert len(scene.node.asked) == 1
    scene.disk.full = False
    (fact,) = await scene.told()
    assert fact.body["played_ms"] == 2_000


async def test_a_node_that_does_not_answer_is_asked_again(scene: Scene) -> None:
    scene.node.hear("s1", 1_000, 'sid="p"')
    scene.node.away = True
    with pytest.raises(Unavailable):
        await scene.told()
    scene.node.away = False
    assert len(await scene.told()) == 1
