"""The load that benches share: every event type, in the proportions of streams with a few viewers each.

One hour of one stream with five viewers at a time whose sessions last ten minutes, on a node with nine others: a
sample of the stream, the node and each viewer every 10 s, 100 s (its share) and 30 s, and what opens and closes.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from frameworks.contracts.framing import frame
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.kit.clock import random_bytes, uuid7

MIX = {
    "client-sample": 600,
    "player-session": 600,
    "stream-metrics": 360,
    "stream-metrics-detailed": 60,
    "user-connection": 60,
    "node-lifecycle": 36,
    "stream-view": 30,
    "load-balancing": 30,
    "player-boot": 30,
    "stream-buffer": 6,
    "api-requests": 6,
    "storage-sample": 4,
    "stream-lifecycle": 3,
    "track-list": 2,
    "recording-lifecycle": 2,
    "stream-ingest": 1,
    "push-lifecycle": 1,
}
"""Event type → how many an hour of one stream has; `service` events go to a topic of their own."""
TENANTS, STREAMS = 10, 40
"""Tenants, and streams of each."""
OF_TENANT = 50
"""Events of one tenant in a client's batch."""

_PLACE = ev.Place(country="BE", city="Ghent", h3_cell=599686042433355775, latitude=51.05, longitude=3.72)
_VIDEO = ev.Track(name="video0", type="video", codec="H264", bitrate_kbps=3000, width=1280, height=720)
_AUDIO = ev.Track(name="audio0", type="audio", codec="AAC", bitrate_kbps=128, channels=2, sample_rate=48_000)
_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)

Chance = random.Random


def _metrics(chance: Chance) -> ev.StreamMetrics:
    return ev.StreamMetrics(
        bandwidth_in_bps=3_000_000,
        bandwidth_out_bps=chance.randrange(10**8),
        viewers=chance.randrange(100),
        bitrate_kbps=chance.randrange(6000),
        fps_milli=30_000,
        width=1280,
        height=720,
        codec="H264",
        keyframe_ms=2000,
        buffer_ms=5000,
        jitter_ms=chance.randrange(50),
        health_score=97,
        audio_codec="AAC",
        audio_kbps=128,
        audio_channels=2,
        audio_rate=48_000,
        packets_sent=1000,
        quality_tier="720p",
        keyframe_min_ms=1990,
    )


def _connection(chance: Chance) -> ev.UserConnection:
    return ev.UserConnection(
        action=chance.choice(["connect", "disconnect"]),
        session_id=f"{chance.getrandbits(64):016x}",
        connector="HLS",
        seconds=chance.randrange(1200),
        up_bytes=chance.randrange(10**8),
        down_bytes=1000,
        user_agent=_AGENT,
        place=_PLACE,
        viewer_hash=f"{chance.getrandbits(64):016x}",
    )


def _node(chance: Chance) -> ev.NodeLifecycle:
    return ev.NodeLifecycle(
        state="up",
        cpu_permille=chance.randrange(1000),
        memory_used_bytes=10**9,
        memory_total_bytes=4 * 10**9,
        disk_used_bytes=10**9,
        disk_total_bytes=10**11,
        bandwidth_in_bps=10**7,
        bandwidth_out_bps=10**8,
        active_streams=10,
        active_viewers=50,
        version="1",
        boot_id="b",
    )


def _sample(chance: Chance) -> ev.ClientSample:
    return ev.ClientSample(
        session_id=f"{chance.getrandbits(64):016x}",
        connector="HLS",
        up_bps=3 * 10**6,
        up_bytes=chance.randrange(10**7),
        seconds=chance.randrange(600),
        position_ms=1000,
    )


def _session(chance: Chance) -> ev.PlayerSession:
    return ev.PlayerSession(
        session_id=f"{chance.getrandbits(64):016x}",
        sequence=1,
        played_ms=30_000,
        frames_decoded=900,
        bitrate_ms=chance.randrange(10**8),
        player="hls.js",
        protocol="HLS",
        place=_PLACE,
        report="beacon",
    )


_BODIES: dict[str, Callable[[Chance], dict[str, Any]]] = {
    "client-sample": lambda chance: {"client_sample": _sample(chance)},
    "player-session": lambda chance: {"player_session": _session(chance)},
    "stream-metrics": lambda chance: {"stream_metrics": _metrics(chance)},
    "stream-metrics-detailed": lambda _: {
        "stream_metrics_detailed": ev.StreamMetricsDetailed(
            tracks=[ev.TrackMetrics(name="video0", type="video", codec="H264", bitrate_kbps=3000)],
            outputs=[ev.OutputMetrics(connector="HLS", viewers=5, up_bps=10**7)],
        )
    },
    "user-connection": lambda chance: {"user_connection": _connection(chance)},
    "node-lifecycle": lambda chance: {"node_lifecycle": _node(chance)},
    "stream-view": lambda _: {
        "stream_view": ev.StreamView(
            playback_id="abcdefghijkl", protocol="HLS", user_agent=_AGENT, place=_PLACE
        )
    },
    "load-balancing": lambda _: {
        "load_balancing": ev.LoadBalancing(
            status="redirect", purpose="view", selected_node="node-1", score=1234, client=_PLACE
        )
    },
    "player-boot": lambda chance: {
        "player_boot": ev.PlayerBoot(
            session_id=f"{chance.getrandbits(64):016x}", outcome="playing", first_frame_ms=700, place=_PLACE
        )
    },
    "stream-buffer": lambda _: {
        "stream_buffer": ev.StreamBuffer(state="FULL", buffer_ms=5000, tracks=[_VIDEO, _AUDIO])
    },
    "api-requests": lambda _: {
        "api_requests": ev.ApiRequests(
            auth_kind="user", operation_kind="query", operation="streams", requests=9
        )
    },
    "storage-sample": lambda _: {"storage_sample": ev.StorageSample(scope="hot", bytes=10**9, files=9)},
    "stream-lifecycle": lambda _: {"stream_lifecycle": ev.StreamLifecycle(state="live", duration_ms=60_000)},
    "track-list": lambda _: {"track_list": ev.TrackList(tracks=[_VIDEO, _AUDIO])},
    "recording-lifecycle": lambda _: {
        "recording_lifecycle": ev.RecordingLifecycle(state="progress", artifact="a1", kind="recording")
    },
    "stream-ingest": lambda _: {"stream_ingest": ev.StreamIngest(protocol="RTMP", key_id=bytes(16))},
    "push-lifecycle": lambda _: {"push_lifecycle": ev.PushLifecycle(state="started", push_id="1")},
}


def tenant(number: int) -> UUID:
    """A tenant of the load."""
    return UUID(int=(1 << 100) + number)


def stream(of: int, number: int) -> UUID:
    """A stream of a tenant."""
    return UUID(int=(1 << 90) + of * STREAMS + number)


def ids(count: int) -> list[bytes]:
    """New ids of one moment (RFC 9562 §5.7)."""
    moment = uuid7().bytes[:8]
    noise = random_bytes(7 * count)
    return [moment + b"\x80" + noise[at : at + 7] for at in range(0, len(noise), 7)]


def event(kind: str, of: int, number: int, at: int, chance: Chance) -> ev.Event:
    """One event of a type about a tenant's stream, or about its node."""
    return ev.Event(
        event_id=uuid7().bytes,
        type=kind,
        occurred_at=at,
        schema_version=2,
        tenant_id=tenant(of).bytes,
        stream_id=b"" if kind in ("node-lifecycle", "api-requests") else stream(of, number).bytes,
        node_id=f"node-{number}",
        cluster_id="default",
        region="local",
        source="node:helmsman",
        claim_epoch=1,
        **_BODIES[kind](chance),
    )


def records(count: int, now: int, seed: int = 1) -> Iterator[tuple[int, int, list[str], bytes]]:
    """What a client's batches become in the log: tenant, stream, distinct types, and 50 events of that stream.

    A client is a node that carries one stream of each tenant, so its batch of 500 events is ten such records.
    """
    chance = Chance(seed)
    kinds, weights = list(MIX), list(MIX.values())
    for index in range(count):
        of, number = index % TENANTS, index // TENANTS % STREAMS
        chosen = chance.choices(kinds, weights, k=OF_TENANT)
        events = (event(kind, of, number, now - chance.randrange(30_000_000), chance) for kind in chosen)
        yield of, number, sorted(set(chosen)), b"".join(frame(e.SerializeToString()) for e in events)
