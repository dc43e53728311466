"""Viewing as players reported it at the front, artifacts as an edge reported them, and the API's own use."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import httpx
import pytest
from fixtures_answered import Client, Made, SdkFactory, answers, client_of, make_stream
from fixtures_edge import Edge
from fixtures_http import http_client
from fixtures_platform import Encoder, Platform, Tenant, eventually
from livepeer_frameworks.graphql import TimeRangeInput

from frameworks.contracts import telemetry
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.telemetry import Subject
from frameworks.kit.clock import SystemClock, micros, random_text

SECOND = 1_000_000
Encoders = Callable[..., Awaitable[Encoder]]


@dataclass
class Player:
    """A player of one stream or artifact: its session, and the token it was given."""

    http: httpx.AsyncClient
    token: str
    session: str
    sequence: int = 0

    async def says(self, **sums: Any) -> None:
        """Report what was since the report before."""
        self.sequence += 1
        await self.sends("session", beaconSeq=self.sequence, **sums)

    async def boots(self, **facts: Any) -> None:
        """Report how it came to the first frame."""
        await self.sends("boot", **facts)

    async def sends(self, kind: str, **report: Any) -> None:
        """Post it as sendBeacon does."""
        body = {"telemetryToken": self.token, "sessionId": self.session, **report}
        answer = await self.http.post(
            f"/playback/telemetry/{kind}", content=json.dumps(body), headers={"content-type": "text/plain"}
        )
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*"), answer.text


@dataclass
class Scene:
    """A tenant, its stream, an edge that carries it, and who asks about them."""

    platform: Platform
    tenant: Tenant
    stream: Made
    edge: Edge
    ingest: str
    epoch: int
    fw: Client
    http: httpx.AsyncClient

    async def player(self, artifact: str = "") -> Player:
        """Someone who begins to watch; of an artifact, with a token such as Foghorn signs."""
        token = (await self.platform.play(self.stream.playback_id))["telemetry_token"]
        if artifact:
            tenant, stream = UUID(self.tenant.tenant_id), UUID(self.stream.id)
            subject = Subject(tenant, stream, self.stream.playback_id, artifact, "recording")
            foghorn = self.platform.host.identity(telemetry.ISSUER)
            token = foghorn.sign(subject.claims(), typ=telemetry.TYP, lifetime=timedelta(minutes=5))
        return Player(self.http, token, random_text(12))

    async def recorded(self, state: str, artifact: str, **facts: Any) -> None:
        """A step of a recording on the edge."""
        said = events.RecordingLifecycle(state=state, artifact=artifact, kind="recording", **facts)
        await self._carried("recording-lifecycle", said)

    async def _carried(self, name: str, payload: Any) -> None:
        event = self.edge.event(name, payload, stream_id=self.stream.id, epoch=self.epoch)
        await self.edge.publish(event, attribution=self.ingest)


@pytest.fixture
async def scene(platform: Platform) -> AsyncIterator[Scene]:
    """A fresh tenant nobody has watched."""
    tenant = await platform.tenant()
    edge = await Edge.join(platform, tenant, name="Recorder")
    stream = await make_stream(platform, tenant, "Watched")
    admission = await edge.admit(stream.key)
    fw = client_of(tenant, platform)
    async with http_client(base_url=platform.url("front"), timeout=20) as http:
        yield Scene(platform, tenant, stream, edge, admission.attribution, admission.claim_epoch, fw, http)
    await fw.aclose()


def lately() -> TimeRangeInput:
    """The last hour and the coming minute."""
    now = datetime.now(UTC)
    return TimeRangeInput(start=now - timedelta(hours=1), end=now + timedelta(minutes=1))


async def is_equal(found: Any, wanted: Any) -> bool:
    """Whether an answer is as wanted."""
    return bool(await found == wanted)


@answers("GetSessionQoeSummary", "GetSessionQoeTimeSeries")
async def test_what_viewers_lived_through_is_what_their_players_said(scene: Scene) -> None:
    fw, stream = scene.fw, scene.stream

    async def summary() -> tuple[int, float, float, float]:
        found = (await fw.get_session_qoe_summary(stream.id, time_range=lately())).analytics.health
        qoe = found.session_qoe_summary
        return qoe.session_count, qoe.rebuffering_ratio, qoe.avg_bitrate_bps, qoe.ebvs_rate

    async def series() -> tuple[int, float]:
        found = await fw.get_session_qoe_time_series(stream.id, time_range=lately(), interval="1d")
        points = found.analytics.health.session_qoe_time_series
        return sum(p.session_count for p in points), round(sum(p.played_hours for p in points) * 3600)

    assert await summary() == (0, 0, 0, 0)
    player = await scene.player()
    await player.says(playedMs=90_000, rebufferMs=10_000, rebufferCount=1, bitrateBpsSeconds=90 * 2_000_000)
    await eventually(lambda: is_equal(summary(), (1, 0.1, 2_000_000, 0)), what="a tenth of it stalled")
    assert await series() == (1, 90)
    player.sequence -= 1
    await player.says(playedMs=90_000, rebufferMs=10_000, rebufferCount=1, bitrateBpsSeconds=90 * 2_000_000)
    await player.says(playedMs=100_000, bitrateBpsSeconds=100 * 2_000_000)
    await (await scene.player()).says(isFinal=True)
    await eventually(lambda: is_equal(summary(), (2, 0.05, 2_000_000, 0.5)), what="one who left at once")
    assert await series() == (2, 190)


@answers("GetPlayerBootSummary", "GetPlayerBootTimeSeries")
async def test_boots_have_percentiles_and_failures(scene: Scene) -> None:
    fw, stream = scene.fw, scene.stream

    async def summary() -> tuple[int, int, float, float]:
        found = (await fw.get_player_boot_summary(stream.id, time_range=lately())).analytics.health
        boots = found.player_boot_summary
        return boots.boot_count, boots.error_count, boots.p_50_ttf_ms, boots.avg_gateway_resolve_ms

    async def series() -> int:
        found = await fw.get_player_boot_time_series(stream.id, time_range=lately())
        return sum(point.boot_count for point in found.analytics.health.player_boot_time_series)

    assert await summary() == (0, 0, 0, 0)
    first = await scene.player()
    await first.boots(outcome="success", totalTtfMs=400, spans={"gatewayResolveMs": 30})
    await first.boots(outcome="success", totalTtfMs=400, spans={"gatewayResolveMs": 30})
    await eventually(lambda: is_equal(summary(), (1, 0, 400, 30)), what="one boot")
    assert await series() == 1
    await (await scene.player()).boots(outcome="success", totalTtfMs=800)
    await (await scene.player()).boots(outcome="error", errorCode="403")
    await eventually(lambda: is_equal(summary(), (3, 1, 600, 30)), what="three boots")
    assert await series() == 3


async def test_other_peoples_players_come_to_the_same_sums(scene: Scene) -> None:
    player = await scene.player()
    body = "\n".join(
        f'sid="{player.session}",sn={n},sta={state},ts={1000 + ms},e=ps,v=2{more}'
        for n, (state, ms, more) in enumerate(
            [
                ("s", 0, ""),
                ("p", 700, ",msd=700,br=(1500)"),
                ("r", 30_700, ""),
                ("p", 32_700, ""),
                ("q", 60_700, ""),
            ]
        )
    )
    for _ in range(2):
        answer = await scene.http.post(
            "/playback/telemetry/session",
            params={"token": player.token},
            content=body,
            headers={"content-type": "application/cmcd"},
        )
        assert answer.status_code == 204, answer.text

    async def seen() -> tuple[int, float, float, float]:
        health = (await scene.fw.get_session_qoe_summary(scene.stream.id)).analytics.health
        boots = (await scene.fw.get_player_boot_summary(scene.stream.id)).analytics.health.player_boot_summary
        qoe = health.session_qoe_summary
        return qoe.session_count, round(qoe.played_hours * 3600), qoe.avg_rebuffer_ms, boots.p_50_ttf_ms

    await eventually(lambda: is_equal(seen(), (1, 58, 2000, 700)), what="the CMCD session")


async def test_what_players_tell_with_their_requests_for_media_counts_too(
    platform: Platform, tenant: Tenant, sdk: SdkFactory, encoders: Encoders
) -> None:
    fw, stream = sdk(tenant), await make_stream(platform, tenant, "Told")
    await encoders(f"{platform.rtmp_url}/{stream.key}")
    outputs = (await platform.live(stream.playback_id))["primary"]["outputs"]
    async with http_client(timeout=20) as http:
        master = await http.get(outputs["HLS_CMAF"])
        variant = next(line for line in master.text.splitlines() if line[:1] != "#")
        playlist = urljoin(str(master.url), variant)
        asked = 0

        async def seen() -> bool:
            nonlocal asked
            asked += 1
            starved = ",bs" if asked == 5 else ""
            said = f'br=900,ltc=2000,ot=v{starved},sid="watching",sn={asked}'
            assert (await http.get(playlist, params={"CMCD": said})).status_code == 200
            qoe = (await fw.get_session_qoe_summary(stream.id)).analytics.health.session_qoe_summary
            found = qoe.session_count, qoe.avg_bitrate_bps, qoe.rebuffers_per_hour > 0
            return qoe.played_hours * 3600 > 4 and found == (1, 900_000, True)

        await eventually(seen, every=0.4, what="some seconds of playing, and a stall")


async def test_a_forged_token_counts_nowhere(scene: Scene) -> None:
    body = {"telemetryToken": "a.b.c", "sessionId": "s", "beaconSeq": 1, "playedMs": 5}
    answer = await scene.http.post("/playback/telemetry/session", json=body)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
    assert (await scene.http.post("/playback/telemetry/boot", content=b"x")).status_code == 400
    preflight = await scene.http.options(
        "/playback/telemetry/session",
        headers={"origin": "https://a.example", "access-control-request-method": "POST"},
    )
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")


@answers("GetVodRetention", "GetVodRetentionAssets", "GetTopAssets")
async def test_retention_follows_what_was_watched(scene: Scene) -> None:
    fw, artifact = scene.fw, random_text(32)
    whole = {"bucketWidthS": 10, "assetDurationS": 30}

    async def curve() -> tuple[int, list[tuple[float, int]]]:
        found = (await fw.get_vod_retention(artifact)).analytics.health.vod_retention
        return found.total_sessions, [(p.seconds_watched, p.reached) for p in found.points]

    async def assets() -> list[tuple[str, int]]:
        found = (await fw.get_vod_retention_assets()).analytics.health.vod_retention_assets
        return [(e.node.artifact_hash, e.node.total_sessions) for e in found.edges]

    async def top() -> list[tuple[str, str, int]]:
        found = (await fw.get_top_assets(lately())).analytics.health.top_assets
        return [(asset.artifact_hash, asset.kind.value, asset.total_sessions) for asset in found]

    assert (await curve(), await assets(), await top()) == ((0, []), [], [])
    first = await scene.player(artifact)
    await first.says(
        **whole, retentionBuckets=[0, 1], retentionSecondsWatched=[10, 4], maxBucketReached=1, playedMs=14_000
    )
    await eventually(lambda: is_equal(curve(), (1, [(10, 1), (4, 1), (0, 0)])), what="one viewer's curve")
    assert (await assets(), await top()) == ([(artifact, 1)], [(artifact, "DVR", 1)])
    second = await scene.player(artifact)
    await second.says(**whole, retentionBuckets=[2], retentionSecondsWatched=[3], maxBucketReached=2)
    await eventually(lambda: is_equal(curve(), (2, [(10, 2), (4, 2), (3, 1)])), what="two viewers' curve")
    assert (await assets(), await top()) == ([(artifact, 2)], [(artifact, "DVR", 2)])


@answers("GetArtifactEventsConnection", "GetArtifactStatesConnection", "GetStorageEventsConnection")
async def test_a_recording_is_followed_from_start_to_deletion(scene: Scene) -> None:
    fw, stream, artifact = scene.fw, scene.stream, random_text(32)
    began = micros(SystemClock().now())

    async def steps() -> list[str]:
        found = await fw.get_artifact_events_connection(stream_id=stream.id)
        rows = [e.node for e in found.analytics.lifecycle.artifact_events_connection.edges]
        assert all(row.stream is not None and row.stream.name == "Watched" for row in rows)
        return [row.stage for row in rows]

    async def states(**more: Any) -> list[tuple[str, str, float | None, bool]]:
        found = await fw.get_artifact_states_connection(stream_id=stream.id, **more)
        rows = [e.node for e in found.analytics.lifecycle.artifact_states_connection.edges]
        return [(row.content_type, row.stage, row.size_bytes, row.completed_at is not None) for row in rows]

    async def kept() -> list[tuple[str, str, float]]:
        found = await fw.get_storage_events_connection(stream_id=stream.id)
        rows = [e.node for e in found.analytics.lifecycle.storage_events_connection.edges]
        return [(row.asset_hash, row.action, row.size_bytes) for row in rows]

    assert (await steps(), await states(), await kept()) == ([], [], [])
    await scene.recorded("started", artifact, started_at=began)
    await eventually(lambda: is_equal(steps(), ["started"]), what="a recording began")
    assert (await states(), await kept()) == ([("recording", "started", None, False)], [])
    await scene.recorded("ready", artifact, bytes=4_000, file="one.mp4", ended_at=began + 9 * SECOND)
    await eventually(lambda: is_equal(steps(), ["ready", "started"]), what="a recording is ready")
    assert await states() == [("recording", "ready", 4_000, True)]
    assert (await states(stage="started"), await states(stage="ready")) == ([], await states())
    assert await kept() == [(artifact, "stored", 4_000)]
    await scene.recorded("deleted", artifact, bytes=4_000)
    await eventually(lambda: is_equal(steps(), ["deleted", "ready", "started"]), what="a recording is gone")
    assert [row[1] for row in await states()] == ["deleted"]
    assert [row[1] for row in await kept()] == ["deleted", "stored"]


@answers("GetStorageUsageConnection")
async def test_storage_is_what_the_node_held_last(
    platform: Platform, tenant: Tenant, sdk: SdkFactory, encoders: Encoders
) -> None:
    fw, stream = sdk(tenant), await make_stream(platform, tenant, "Kept")

    async def held() -> list[tuple[str, float]]:
        found = await fw.get_storage_usage_connection(time_range=lately())
        rows = [e.node for e in found.analytics.usage.storage.storage_usage_connection.edges]
        return [(row.storage_scope, row.total_bytes) for row in rows][:1]

    async def grown() -> bool:
        return any(place == "hot" and size > 300_000 for place, size in await held())

    assert await held() == []
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await eventually(grown, what="seconds of 600 kbit/s")
    await encoder.stop()
    await eventually(
        lambda: is_equal(held(), [("hot", 0)]), within=45, what="nothing left after the stream's end"
    )


@answers("GetApiUsageConnection")
async def test_the_api_counts_its_own_requests(scene: Scene) -> None:
    async def asked() -> int:
        found = await scene.fw.get_api_usage_connection(
            auth_type="api_token", operation_type="query", time_range=lately()
        )
        usage = found.analytics.usage.api.api_usage_connection
        rows = [e.node for e in usage.edges if e.node.operation_name == "GetTenant"]
        assert all(row.unique_tokens == 1 and row.total_complexity > 0 for row in rows)
        assert sum(day.total_requests for day in usage.summaries) >= sum(r.request_count for r in rows)
        assert {kind.operation_type for kind in usage.operation_summaries} <= {"query"}
        return sum(row.request_count for row in rows)

    assert await asked() == 0
    for _ in range(3):
        await scene.fw.get_tenant()
    await eventually(lambda: is_equal(asked(), 3), every=0.5, what="three requests")
    await scene.fw.get_tenant()
    await eventually(lambda: is_equal(asked(), 4), every=0.5, what="a fourth")
