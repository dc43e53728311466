"""Viewing, artifacts, storage and API use, asked of real engines: the sums, and that a repeat counts once."""

from typing import Any

import pytest
from fixtures_periscope import Periscope, Story, new_story

from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.consumption import ConsumptionApi
from frameworks.data.periscope.api.lifecycle import LifecycleApi
from frameworks.data.periscope.api.viewing import ViewingApi
from frameworks.data.periscope.domain import BadRange, BadSubject
from frameworks.kit.clock import SystemClock, uuid7

MINUTE = 60_000_000
ARTIFACT = "a" * 32


class Caller:
    """As much of a call as Periscope looks at."""

    def __init__(self, story: Story) -> None:
        self.tenant = story.tenant


class Asking:
    """The servicers, and a story they know."""

    def __init__(self, periscope: Periscope) -> None:
        clock = SystemClock()
        self.periscope = periscope
        self.story = new_story()
        self.mine: Any = Caller(self.story)
        self.viewing = ViewingApi(periscope.history, clock)
        self.consumption = ConsumptionApi(periscope.history, clock)
        self.lifecycle = LifecycleApi(periscope.history, clock)

    @property
    def span(self) -> pb.Range:
        """The half hour the story is told in."""
        return pb.Range(from_at=self.story.start, until_at=self.story.start + 30 * MINUTE)

    def request(self, **more: Any) -> pb.HistoryRequest:
        """A request about the half hour."""
        return pb.HistoryRequest(range=self.span, **more)

    async def tell(self, *events: ev.Event) -> None:
        """Let it be history."""
        await self.periscope.take(events)


@pytest.fixture
def asking(periscope: Periscope) -> Asking:
    """Periscope, and a story nobody has told yet."""
    return Asking(periscope)


def report(session: str, sequence: int, **sums: Any) -> ev.PlayerSession:
    """One report of a session."""
    return ev.PlayerSession(session_id=session, sequence=sequence, report="beacon", **sums)


async def test_sessions_are_counted_once_and_their_sums_added(asking: Asking) -> None:
    story = asking.story
    await asking.tell(
        story.event("player-session", 30, player_session=report("a", 1, played_ms=30_000, bitrate_ms=9_000)),
        story.event(
            "player-session",
            60,
            player_session=report("a", 2, played_ms=20_000, stalled_ms=5_000, stalls=1, final=True),
        ),
        story.event("player-session", 61, player_session=report("b", 1, final=True, left_before_start=True)),
        story.event("player-session", 62, player_session=report("c", 1, final=True, failed=True)),
    )
    found = await asking.viewing.GetViewing(asking.request(stream_id=str(story.stream)), asking.mine)
    assert (found.sessions, found.played_ms, found.stalled_ms, found.stalls) == (3, 50_000, 5_000, 1)
    assert (found.failed, found.left_before_start, found.bitrate_ms) == (1, 1, 9_000)
    other = asking.request(stream_id=str(uuid7()))
    assert (await asking.viewing.GetViewing(other, asking.mine)).sessions == 0


async def test_a_report_that_arrives_twice_counts_once_though_its_times_differ(asking: Asking) -> None:
    first = asking.story.event("player-session", 30, player_session=report("a", 1, played_ms=1_000))
    again = asking.story.event("player-session", 95, player_session=report("a", 1, played_ms=1_000))
    again.event_id = first.event_id
    await asking.tell(first)
    await asking.tell(again)
    found = await asking.viewing.GetViewing(asking.request(), asking.mine)
    assert (found.sessions, found.played_ms) == (1, 1_000)


async def test_a_viewer_who_came_back_has_not_left_before_the_start(asking: Asking) -> None:
    hidden = report("a", 1, final=True, left_before_start=True)
    await asking.tell(
        asking.story.event("player-session", 1, player_session=hidden),
        asking.story.event("player-session", 9, player_session=report("a", 2, played_ms=4_000)),
    )
    found = await asking.viewing.GetViewing(asking.request(), asking.mine)
    assert (found.sessions, found.left_before_start) == (1, 0)


async def test_intervals_add_up_to_the_whole(asking: Asking) -> None:
    for minute in (0, 1, 12):
        event = asking.story.event(
            "player-session", minute * 60, player_session=report("a", minute, played_ms=60_000)
        )
        await asking.tell(event)
    request = pb.GetSeriesRequest(range=asking.span, interval="5m")
    points = (await asking.viewing.GetViewingSeries(request, asking.mine)).points
    assert [(p.at - asking.story.start, p.viewing.played_ms) for p in points] == [
        (0, 120_000),
        (10 * MINUTE, 60_000),
    ]
    with pytest.raises(BadRange):
        await asking.viewing.GetViewingSeries(
            pb.GetSeriesRequest(range=asking.span, interval="7m"), asking.mine
        )
    year = pb.Range(from_at=asking.story.start - 399 * 86_400_000_000, until_at=asking.story.start)
    with pytest.raises(BadRange):
        await asking.viewing.GetViewingSeries(pb.GetSeriesRequest(range=year, interval="5m"), asking.mine)


async def test_percentiles_are_of_boots_that_came_to_a_first_frame(asking: Asking) -> None:
    for number in range(1, 101):
        boot = ev.PlayerBoot(
            session_id=f"s{number}", outcome="playing", first_frame_ms=number * 10, resolve_ms=20
        )
        await asking.tell(asking.story.event("player-boot", number, player_boot=boot))
    failed = ev.PlayerBoot(session_id="f", outcome="failed", error="403", cache_hit=True)
    await asking.tell(asking.story.event("player-boot", 200, player_boot=failed))
    found = await asking.viewing.GetBoots(asking.request(), asking.mine)
    assert (found.boots, found.failed, found.played, found.cache_hits) == (101, 1, 100, 1)
    assert found.p50_first_frame_ms == pytest.approx(505)
    assert found.p95_first_frame_ms == pytest.approx(950, abs=5)
    assert found.p99_first_frame_ms == pytest.approx(990, abs=5)
    assert (found.resolve.ms, found.resolve.boots, found.connect.boots) == (2000, 100, 0)
    series = pb.GetSeriesRequest(range=asking.span, interval="5m")
    points = (await asking.viewing.GetBootSeries(series, asking.mine)).points
    assert sum(point.boots.boots for point in points) == 101


async def test_retention_tells_reach_and_density_apart(asking: Asking) -> None:
    whole = {"artifact": ARTIFACT, "artifact_kind": "recording", "duration_s": 35}
    await asking.tell(
        asking.story.event(
            "player-session", 1, player_session=report("a", 1, watched=[10, 4], reached_s=14, **whole)
        ),
        asking.story.event(
            "player-session", 2, player_session=report("a", 2, watched=[0, 6], reached_s=20, **whole)
        ),
        asking.story.event(
            "player-session", 3, player_session=report("b", 1, watched=[2], reached_s=35, **whole)
        ),
    )
    request = asking.request(artifact=ARTIFACT)
    found = await asking.viewing.GetRetention(request, asking.mine)
    assert (found.bucket_s, found.duration_s, found.sessions) == (10, 35, 2)
    assert list(found.watched_s) == [12, 10, 0, 0]
    assert list(found.reached) == [2, 2, 2, 1]
    (asset,) = (await asking.viewing.ListRetentionAssets(asking.request(), asking.mine)).assets
    assert (asset.artifact, asset.sessions, asset.duration_s) == (ARTIFACT, 2, 35)
    (top,) = (
        await asking.viewing.GetTopAssets(pb.GetTopAssetsRequest(range=asking.span), asking.mine)
    ).assets
    assert (top.artifact, top.kind, top.sessions) == (ARTIFACT, "recording", 2)
    nothing = await asking.viewing.GetRetention(asking.request(artifact="unknown"), asking.mine)
    assert (nothing.sessions, list(nothing.reached)) == (0, [])
    with pytest.raises(BadSubject):
        await asking.viewing.GetRetention(asking.request(), asking.mine)


async def test_an_artifact_stands_where_its_last_event_left_it(asking: Asking) -> None:
    story, began = asking.story, asking.story.start

    def step(second: float, state: str, **facts: Any) -> ev.Event:
        said = ev.RecordingLifecycle(state=state, artifact=ARTIFACT, kind="recording", **facts)
        return story.event("recording-lifecycle", second, recording_lifecycle=said)

    await asking.tell(step(1, "started", started_at=began), step(5, "progress", percent=40))
    request = asking.request()
    (under_way,) = (await asking.lifecycle.ListArtifactStates(request, asking.mine)).artifacts
    assert (under_way.state, under_way.percent, under_way.completed_at) == ("progress", 40, 0)
    assert (await asking.lifecycle.ListStorageEvents(request, asking.mine)).page.total == 0
    await asking.tell(step(9, "ready", bytes=5_000_000, file="r.mp4", ended_at=began + 8_000_000))
    (done,) = (await asking.lifecycle.ListArtifactStates(request, asking.mine)).artifacts
    assert (done.state, done.bytes, done.file) == ("ready", 5_000_000, "r.mp4")
    assert (done.requested_at, done.completed_at) == (began + 1_000_000, began + 9_000_000)
    assert done.stream_id == str(story.stream)
    steps = (await asking.lifecycle.ListArtifactEvents(request, asking.mine)).events
    assert [event.state for event in steps] == ["ready", "progress", "started"]
    assert steps[-1].started_at == began
    only = await asking.lifecycle.ListArtifactEvents(asking.request(state="ready"), asking.mine)
    assert only.page.total == 1
    ready = asking.request(state="progress")
    assert (await asking.lifecycle.ListArtifactStates(ready, asking.mine)).page.total == 0
    (stored,) = (await asking.lifecycle.ListStorageEvents(request, asking.mine)).events
    assert (stored.action, stored.artifact, stored.bytes) == ("stored", ARTIFACT, 5_000_000)


async def test_storage_is_the_last_sample_of_each_stream_in_the_hour(asking: Asking) -> None:
    other = new_story(asking.story.tenant)
    for second, size in ((0, 100), (300, 150)):
        sample = ev.StorageSample(scope="hot", bytes=size, files=1, recording_bytes=size)
        await asking.tell(asking.story.event("storage-sample", second, storage_sample=sample))
    sample = ev.StorageSample(scope="hot", bytes=50, files=2, clip_bytes=50)
    await asking.tell(other.event("storage-sample", 0, storage_sample=sample))
    hour = asking.story.start // (60 * MINUTE) * 60 * MINUTE
    request = pb.HistoryRequest(range=pb.Range(from_at=hour, until_at=hour + 60 * MINUTE))
    (held,) = (await asking.consumption.ListStorageUsage(request, asking.mine)).hours
    assert (held.node_id, held.scope, held.bytes, held.files) == ("node-1", "hot", 200, 3)
    assert (held.recording_bytes, held.clip_bytes) == (150, 50)


async def test_api_requests_add_up_by_hour_day_and_kind(asking: Asking) -> None:
    def asked(second: float, **facts: Any) -> ev.Event:
        return asking.story.event("api-requests", second, api_requests=ev.ApiRequests(**facts))

    await asking.tell(
        asked(1, auth_kind="user", operation_kind="query", operation="Me", requests=3, callers=[1, 2]),
        asked(61, auth_kind="user", operation_kind="query", operation="Me", requests=2, callers=[2]),
        asked(61, auth_kind="api_token", operation_kind="mutation", operation="Go", requests=1, errors=1),
    )
    request = asking.request()
    hours = (await asking.consumption.ListApiUsage(request, asking.mine)).hours
    assert sorted((h.operation, h.requests, h.callers) for h in hours) == [("Go", 1, 0), ("Me", 5, 2)]
    summary = await asking.consumption.GetApiUsageSummary(request, asking.mine)
    assert [(d.auth_kind, d.requests, d.errors, d.callers) for d in summary.days] == [
        ("api_token", 1, 1, 0),
        ("user", 5, 0, 2),
    ]
    assert [(k.operation_kind, k.requests, k.operations) for k in summary.kinds] == [
        ("mutation", 1, 1),
        ("query", 5, 1),
    ]
    tokens = await asking.consumption.ListApiUsage(asking.request(caller_kind="api_token"), asking.mine)
    assert tokens.page.total == 1
