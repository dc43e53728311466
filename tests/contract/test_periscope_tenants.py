"""Every method of Periscope, asked by the tenant whose history it is and by a stranger who knows all its names.

The walk is made from the proto: a method that is new is walked, and has to answer its owner something.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest
from fixtures_periscope import Periscope, Story, new_story
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.contracts.permissions import RPC
from frameworks.data.periscope.api.consumption import ConsumptionApi
from frameworks.data.periscope.api.health import HealthApi
from frameworks.data.periscope.api.infrastructure import InfrastructureApi
from frameworks.data.periscope.api.lifecycle import LifecycleApi
from frameworks.data.periscope.api.messages import SERVICE
from frameworks.data.periscope.api.now import NowApi
from frameworks.data.periscope.api.usage import UsageApi
from frameworks.data.periscope.api.viewing import ViewingApi
from frameworks.data.periscope.service.history import History
from frameworks.data.periscope.service.now import Present
from frameworks.kit.clock import SystemClock, uuid7
from frameworks.kit.identity import PrincipalKind

MARK = "whose-history"
ARTIFACT = MARK + "-artifact"
MINUTE = 60_000_000
PLACE = ev.Place(country="BE", city=MARK, h3_cell=5, latitude=51.05, longitude=3.72)
OPERATORS = frozenset({"GetPipelineStatus", "ReportProcess"})
"""About no tenant."""
OF_THE_QUESTION = frozenset(
    {"range", "page", "bucketS", "stepUs", "dayAt", "at", "hourAt", "tenantId", "streamId"}
)
"""Fields that only repeat the question, or the calendar."""


@dataclass(frozen=True)
class Caller:
    """As much of a call as Periscope looks at."""

    tenant: UUID


class Leaky:
    """History that answers whoever asks with the rows of one tenant: what the walk must find."""

    def __init__(self, past: Any, tenant: UUID) -> None:
        self._past = past
        self._tenant = tenant

    def __getattr__(self, name: str) -> Any:
        async def answer(_: UUID, *arguments: Any, **more: Any) -> Any:
            return await getattr(self._past, name)(self._tenant, *arguments, **more)

        return answer


@dataclass
class World:
    """All servicers over one history, and whose history it is."""

    servicers: tuple[object, ...]
    story: Story

    async def ask(self, method: MethodDescriptor, tenant: UUID) -> Message:
        """The answer to a question that names everything of the story's tenant."""
        request = question(GetMessageClass(cast("Any", method.input_type)), self.story, tenant)
        servicer = next(s for s in self.servicers if hasattr(s, method.name))
        answer: Message = await getattr(servicer, method.name)(request, Caller(tenant))
        return answer


def question(kind: type[Message], story: Story, asker: UUID) -> Any:
    """A request with the story's identifiers wherever it takes one; a tenant it names is the asker."""
    known: dict[str, Any] = {
        "stream_id": str(story.stream),
        "stream_ids": [str(story.stream)],
        "artifact": ARTIFACT,
    }
    known |= {"tenant_id": str(asker), "interval": "1h", "days": 2}
    request: Any = kind()
    for spec in kind.DESCRIPTOR.fields:
        if spec.name == "range":
            request.range.from_at, request.range.until_at = story.start, story.start + 30 * MINUTE
        elif spec.name == "artifact" and kind is pb.HistoryRequest:
            continue
        elif spec.name in known and spec.is_repeated:
            getattr(request, spec.name).extend(known[spec.name])
        elif spec.name in known:
            setattr(request, spec.name, known[spec.name])
    return request


def methods() -> Iterator[MethodDescriptor]:
    """Every method that is about a tenant."""
    yield from (method for method in SERVICE.methods if method.name not in OPERATORS)


def told(answer: Message) -> list[str]:
    """What an answer says of anybody: its marks, and its numbers that are not nought."""
    return list(_told(MessageToDict(answer), answer.DESCRIPTOR.name))


def _told(found: Any, path: str) -> Iterator[str]:
    if isinstance(found, dict):
        for name, inner in found.items():
            if name == "page":
                yield from _told({"total": inner.get("total", 0)}, f"{path}.page")
            elif name not in OF_THE_QUESTION:
                yield from _told(inner, f"{path}.{name}")
    elif isinstance(found, list):
        for inner in found:
            yield from _told(inner, path)
    elif found not in (0, "", "0", False, 0.0):
        yield f"{path} = {found}"


def history(story: Story) -> Iterator[ev.Event]:
    """Twelve minutes with one of everything."""
    track = ev.Track(name=MARK, type="video", codec="H264", width=1280, height=720)
    viewer: dict[str, Any] = {"session_id": MARK, "connector": "HLS", "place": PLACE, "viewer_hash": MARK}
    opened = ev.UserConnection(action="connect", **viewer)
    closed = ev.UserConnection(action="disconnect", seconds=600, up_bytes=9_000_000, **viewer)
    balanced = ev.LoadBalancing(
        status="redirect",
        purpose="viewer",
        selected_node="node-1",
        client=PLACE,
        distance_km=9,
        decided_in_us=9,
    )
    yield story.event("stream-ingest", 0, stream_ingest=ev.StreamIngest(protocol="RTMP", encoder=MARK))
    yield story.event("stream-lifecycle", 1, stream_lifecycle=ev.StreamLifecycle(state="live"))
    yield story.event("track-list", 2, track_list=ev.TrackList(tracks=[track]))
    yield story.event("stream-buffer", 3, stream_buffer=ev.StreamBuffer(state="DRY", tracks=[track]))
    yield story.event("stream-buffer", 4, stream_buffer=ev.StreamBuffer(state="RECOVER"))
    yield story.event("stream-view", 5, stream_view=ev.StreamView(playback_id="p" * 16, place=PLACE))
    yield story.event("load-balancing", 6, load_balancing=balanced)
    yield story.event("user-connection", 10, user_connection=opened)
    yield story.event("user-connection", 610, user_connection=closed)
    still = ev.UserConnection(action="connect", session_id=f"{MARK}-2", connector="HLS", place=PLACE)
    yield story.event("user-connection", 620, user_connection=still)
    for second in range(0, 720, 60):
        sample = ev.StreamMetrics(
            bitrate_kbps=900, fps_milli=30_000, viewers=1, health_score=90, packets_sent=9, packets_lost=1,
            codec="H264", quality_tier="720p", bandwidth_out_bps=900_000, buffer_ms=500,
        )  # fmt: skip
        yield story.event("stream-metrics", second, stream_metrics=sample)
        node = ev.NodeLifecycle(state="up", cpu_permille=250, memory_used_bytes=1, memory_total_bytes=4)
        yield story.event("node-lifecycle", second, node_lifecycle=node)
    yield from reported(story)


def reported(story: Story) -> Iterator[ev.Event]:
    """What players, disks and the API said."""
    boot = ev.PlayerBoot(session_id=MARK, outcome="playing", first_frame_ms=900, artifact=ARTIFACT)
    viewing = ev.PlayerSession(
        session_id=MARK, played_ms=9_000, artifact=ARTIFACT, artifact_kind="recording", duration_s=30,
        watched=[9], reached_s=9,
    )  # fmt: skip
    ready = ev.RecordingLifecycle(state="ready", artifact=ARTIFACT, kind="recording", bytes=9, file=MARK)
    asked = ev.ApiRequests(auth_kind="user", operation_kind="query", operation=MARK, requests=3)
    yield story.event("player-boot", 20, player_boot=boot)
    yield story.event("player-session", 30, player_session=viewing)
    yield story.event("recording-lifecycle", 40, recording_lifecycle=ready)
    yield story.event("storage-sample", 50, storage_sample=ev.StorageSample(scope="hot", bytes=9, files=1))
    yield story.event("api-requests", 60, api_requests=asked)


def world_of(story: Story, past: Any, live: Any) -> World:
    """Servicers over this history; the pipeline's own state is no tenant's."""
    clock = SystemClock()
    found = History(past)
    present = Present(live, past, found, clock)
    servicers = (
        NowApi(present, found, clock),
        *(kind(found, clock) for kind in (LifecycleApi, HealthApi, UsageApi, InfrastructureApi)),
        ViewingApi(found, clock),
        ConsumptionApi(found, clock),
    )
    return World(servicers, story)


@pytest.fixture
async def world(periscope: Periscope) -> World:
    """Periscope after the story was told and rolled up."""
    story = new_story()
    await periscope.take(list(history(story)))
    await periscope.roll_up.run()
    return world_of(story, periscope.past, periscope.live)


def of_artifact(method: MethodDescriptor) -> bool:
    """Whether a method asks about one artifact, which its request then has to name."""
    return method.name == "GetRetention"


async def ask(world: World, method: MethodDescriptor, tenant: UUID) -> list[str]:
    """What a tenant is told."""
    if of_artifact(method):
        request = pb.HistoryRequest(artifact=ARTIFACT)
        request.range.from_at, request.range.until_at = world.story.start, world.story.start + 30 * MINUTE
        servicer: Any = next(s for s in world.servicers if hasattr(s, method.name))
        return told(await getattr(servicer, method.name)(request, Caller(tenant)))
    return told(await world.ask(method, tenant))


async def test_every_method_tells_its_owner_something(world: World) -> None:
    silent = [m.name for m in methods() if not await ask(world, m, world.story.tenant)]
    assert silent == []


async def test_no_method_tells_a_stranger_anything(world: World) -> None:
    stranger = uuid7()
    assert {m.name: said for m in methods() if (said := await ask(world, m, stranger))} == {}


async def test_the_walk_finds_a_leak_in_every_method(periscope: Periscope, world: World) -> None:
    """Planted: a store that looks at the victim's rows whoever asks."""
    victim = world.story.tenant
    leaky = world_of(world.story, Leaky(periscope.past, victim), Leaky(periscope.live, victim))
    stranger = uuid7()
    assert [m.name for m in methods() if not await ask(leaky, m, stranger)] == []


def test_every_method_needs_a_scope_a_role_or_a_service() -> None:
    """Tenant's analytics, a cluster owner's infrastructure, operators, or a service: there is no public method."""
    scopes = {"streams:read", "analytics:read", "infrastructure:read"}
    for method in SERVICE.methods:
        rule = RPC[f"/{SERVICE.full_name}/{method.name}"]
        assert PrincipalKind.PUBLIC not in rule.kinds
        services_only = rule.kinds == {PrincipalKind.SERVICE}
        assert rule.scope in scopes or rule.role or rule.services or services_only, method.name
