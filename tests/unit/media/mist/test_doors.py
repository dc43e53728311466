"""Publishers at the gate and viewers at the door: who is asked what, and what comes of the answer."""

import asyncio
from dataclasses import dataclass, field

import pytest
from fixtures_mist import AUDIO, VIDEO, FakeHerald, deny, media, value

from frameworks.kit.clock import FakeClock
from frameworks.media.mist.hub.audience import Audience, TooManyViewers
from frameworks.media.mist.hub.doorway import Doorway, Offline, PlaybackRejected, SessionRefused, Visit
from frameworks.media.mist.hub.lease import Publisher
from frameworks.media.mist.hub.rendition import Shape
from frameworks.media.mist.hub.streams import Hub, StreamConfig
from frameworks.media.mist.protocols.trigger import Action, Verdict
from frameworks.media.mist.servers.admission import Admission
from frameworks.media.mist.servers.publishing import Connection, Denied, Ending

VISIT = Visit("pb", "10.0.0.9", "HLS", "http://node/hls/pb/index.m3u8", "token", "Player/1")


@dataclass
class House:
    """The parts of a node that decide, under a fake clock."""

    most: int = 100
    clock: FakeClock = field(default_factory=FakeClock)
    herald: FakeHerald = field(default_factory=FakeHerald)
    config: dict[str, StreamConfig] = field(default_factory=lambda: {"live": StreamConfig("live", "push://")})

    def __post_init__(self) -> None:
        self.hub = Hub(self.clock, self.herald, Shape(), grace=10, most=10)
        self.audience = Audience(self.clock, self.herald, self.hub.watched, idle=8, most=self.most)
        self.doorway = Doorway(self.clock, self.herald, self.hub, self.audience, remembered=15)
        self.admission = Admission(self.hub, self.herald, self)
        self.herald.answers |= {"PUSH_REWRITE": value("live+abc"), "PLAY_REWRITE": value("live+abc")}

    def stream_config(self, name: str) -> StreamConfig | None:
        """As the storage does."""
        return self.config.get(name.partition("+")[0])

    def live(self) -> "House":
        """With the stream on air."""
        lease = self.hub.open("live+abc", Publisher("h", "RTMP", 1, lambda reason: None), None)
        lease.tracks([VIDEO, AUDIO])
        for frame in media(3.0):
            lease.frame(frame)
        return self


def connection(kicked: list[str]) -> Connection:
    """A publisher's connection."""
    return Connection("RTMP", "10.0.0.1", 5, "live", "OBS", secure=False, kick=kicked.append)


async def test_without_a_handler_nobody_publishes() -> None:
    house = House()
    del house.herald.answers["PUSH_REWRITE"]
    assert isinstance(await house.admission.admit("rtmp://n/live/key", "10.0.0.1", "key"), Denied)


async def test_the_key_is_asked_about_and_the_answer_is_the_name() -> None:
    house = House()
    assert await house.admission.admit("rtmp://n/live/key", "10.0.0.1", "key") == "live+abc"
    assert house.herald.asked[0] == ("PUSH_REWRITE", ["rtmp://n/live/key", "10.0.0.1", "key"])


async def test_a_denied_key_is_shown_the_reason() -> None:
    house = House()
    house.herald.answers["PUSH_REWRITE"] = deny("No such key.")
    assert await house.admission.admit("rtmp://n/live/key", "10.0.0.1", "key") == Denied("No such key.")


@pytest.mark.parametrize("name", ["", "true", "false", "LIVE+abc", "live+../../etc", "live+a b", "x" * 300])
async def test_a_name_that_is_no_configured_stream_is_denied(name: str) -> None:
    house = House()
    house.herald.answers["PUSH_REWRITE"] = value(name)
    assert isinstance(await house.admission.admit("rtmp://n/live/key", "10.0.0.1", "key"), Denied)


@pytest.mark.parametrize(
    ("source", "admitted"),
    [
        (value("push://"), True),
        (value("push://10.0.0.1@secret"), True),
        (value("push://10.0.0.2"), False),
        (value("dtsc://other"), False),
        (Verdict(Action.USE_CONFIGURED), True),
        (Verdict(Action.OFFLINE, "", "drained"), False),
    ],
)
async def test_the_source_decides_whether_a_push_is_taken(source: Verdict, admitted: bool) -> None:
    house = House()
    house.herald.answers["STREAM_SOURCE"] = source
    answer = await house.admission.admit("rtmp://n/live/key", "10.0.0.1", "key")
    assert (answer == "live+abc") is admitted


async def test_a_publisher_has_one_pid_from_its_key_to_its_end() -> None:
    house = House()
    await house.admission.admit("rtmp://n/live/key", "10.0.0.1", "key")
    ingest = house.admission.attach("live+abc", connection([]))
    ingest.closed(Ending("CLEAN_EOF", "bye"))
    lines = house.herald.told[0][1]
    assert lines[:3] == ["live+abc", "10.0.0.1", "RTMP"]
    assert lines[3] == str(house.herald.pids[0])
    assert lines[4:] == ["CLEAN_EOF", "bye", "[]"]


async def test_a_track_that_can_not_be_carried_disconnects_its_publisher() -> None:
    house, kicked = House(), list[str]()
    ingest = house.admission.attach("live+abc", connection(kicked))
    ingest.tracks([type(VIDEO)(1, VIDEO.codec, b"", 90_000)])
    assert kicked == ["The video configuration is too short."]


async def test_a_viewer_is_asked_about_once() -> None:
    house = House().live()
    for _ in range(3):
        await house.doorway.enter(VISIT)
        assert house.doorway.known(VISIT) is not None
    assert [name for name, _ in house.herald.asked] == ["PLAY_REWRITE", "USER_NEW"]
    user_new = house.herald.asked[1][1]
    assert user_new[:5] == ["live+abc", "10.0.0.9", "token", "HLS", VISIT.url]
    assert len(user_new[5]) == 64
    assert user_new[6] == "false"


async def test_requests_at_the_same_time_are_one_question() -> None:
    house = House().live()
    await asyncio.gather(*(house.doorway.enter(VISIT) for _ in range(10)))
    assert [name for name, _ in house.herald.asked] == ["PLAY_REWRITE", "USER_NEW"]
    assert len(house.audience.sessions()) == 1


async def test_a_rejected_playback_is_no_stream_at_all() -> None:
    house = House().live()
    house.herald.answers["PLAY_REWRITE"] = deny()
    for _ in range(3):
        with pytest.raises(PlaybackRejected):
            await house.doorway.enter(VISIT)
    assert len(house.herald.asked) == 1


async def test_a_refused_session_is_not_asked_about_again_at_once() -> None:
    house = House().live()
    house.herald.answers["USER_NEW"] = deny("Full.")
    for _ in range(3):
        with pytest.raises(SessionRefused):
            await house.doorway.enter(VISIT)
    assert [name for name, _ in house.herald.asked].count("USER_NEW") == 1
    await house.clock.advance(30)
    house.herald.answers["USER_NEW"] = value("true")
    await house.doorway.enter(VISIT)


async def test_default_stream_is_asked_when_nothing_is_live() -> None:
    house = House().live()
    house.herald.answers |= {"PLAY_REWRITE": Verdict(Action.KEEP), "DEFAULT_STREAM": value("live+abc")}
    stream, _ = await house.doorway.enter(VISIT)
    assert stream.name == "live+abc"
    assert house.herald.asked[1] == ("DEFAULT_STREAM", ["", "pb", "10.0.0.9", "HLS", VISIT.url])


async def test_an_offline_stream_is_said_to_be() -> None:
    with pytest.raises(Offline):
        await House().doorway.enter(VISIT)


async def test_a_viewer_that_asks_for_nothing_more_has_gone() -> None:
    house = House().live()
    _, session = await house.doorway.enter(VISIT)
    session.sent, session.received = 1000, 50
    await house.clock.advance(5)
    house.doorway.known(VISIT)
    await house.clock.advance(7)
    house.audience.tick()
    assert len(house.audience.sessions()) == 1
    await house.clock.advance(2)
    house.audience.tick()
    assert house.audience.sessions() == []
    trigger, lines = house.herald.told[-1]
    assert trigger == "USER_END"
    spans = ["5", "1000", "50", "[UA:Player/1]", "5", "5", "5"]
    assert lines == ["token", "live+abc", "HLS", "10.0.0.9", *spans, session.id]
    assert house.doorway.known(VISIT) is None


async def test_invalidated_sessions_are_asked_about_again_and_refused_ones_end() -> None:
    house = House().live()
    _, session = await house.doorway.enter(VISIT)
    house.herald.answers["USER_NEW"] = deny()
    assert house.doorway.invalidate(lambda stream: stream == "live+abc") == 1
    house.doorway.tick()
    await house.clock.advance(0)
    assert house.herald.asked[-1][1][5:] == [session.id]
    assert house.audience.sessions() == []
    with pytest.raises(SessionRefused):
        await house.doorway.enter(VISIT)


async def test_known_viewers_go_on_when_helmsman_is_away() -> None:
    house = House().live()
    await house.doorway.enter(VISIT)
    house.herald.answers["PLAY_REWRITE"] = Verdict(Action.DENY, failed=True)
    for _ in range(10):
        await house.clock.advance(5)
        assert house.doorway.known(VISIT) is not None
    assert len(house.audience.sessions()) == 1


async def test_a_full_node_takes_no_more_viewers() -> None:
    house = House(most=1).live()
    await house.doorway.enter(VISIT)
    with pytest.raises(TooManyViewers):
        await house.doorway.enter(Visit("pb", "10.0.0.10", "HLS", "http://node/", "other"))
