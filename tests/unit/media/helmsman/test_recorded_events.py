"""From a trigger as MistServer sends it to an event Decklog takes: over the door, the write-ahead log, the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fixtures_decklog import NODE, Yard
from helmsman_fakes import ADMITTED, STREAM, TENANT, VIEWABLE, Platform, user_new
from msgspec.structs import replace
from test_exchanges import EXCHANGES, INTERNAL, KEY, SECRET, Netherlands

from frameworks.contracts.delivery import EventDelivery
from frameworks.contracts.framing import split, unframed
from frameworks.contracts.pb.decklog_v1_pb2 import PublishAck, PublishRequest
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.kit.wal import WriteAheadLog
from frameworks.media.helmsman.api import PREFIX, TriggerDoor
from frameworks.media.helmsman.peers.recorder import EventRecorder
from frameworks.media.helmsman.service.measuring import LiveStream, Picture
from frameworks.media.helmsman.service.outputs import Outputs
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.sampling import ClientReading, Sampling
from frameworks.media.helmsman.service.viewing import Viewing

SECRETS = (KEY, "abcd-efgh-ijkl-mnop", "s3cr3tquery", "pw12", "198.51.100.4", "192.0.2.7")
RUNTIME = f"live+{INTERNAL}"


class Wire:
    """Decklog, called by the node."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self.refused: list[str] = []

    async def Publish(
        self, requests: AsyncIterator[PublishRequest], metadata: Any
    ) -> AsyncIterator[PublishAck]:
        """Hand on."""
        async for request in requests:
            ack = await self._yard.publish(request, NODE)
            self.refused += [refused.code for refused in ack.refused]
            yield ack


class Node:
    """Helmsman on a node, from its door to its write-ahead log, in front of a real Decklog."""

    def __init__(self, yard: Yard, directory: Path) -> None:
        clock, geo, platform = yard.clock, Netherlands(None), Platform()
        words: dict[str, Any] = {"tenant": TENANT, "stream": STREAM}
        ingest = yard.attribution(**words, role="ingest", epoch=1)
        view = yard.attribution(**words, role="view", epoch=0)
        platform.answer = replace(ADMITTED, internal_name=INTERNAL, attribution=ingest)
        platform.viewable = replace(VIEWABLE, internal_name=INTERNAL, attribution=view)
        self.directory, self.wire, self.yard = directory, Wire(yard), yard
        stub: Any = self.wire
        self.delivery = EventDelivery("helmsman", WriteAheadLog(directory), stub, clock)
        recorder = EventRecorder(self.delivery, node="node-1", cluster="default")
        self.publishing = Publishing(platform, recorder, platform, platform, geo, clock)
        self.viewing = Viewing(platform, recorder, platform, geo, clock, node="node-1", hash_key=b"k")
        outputs = Outputs(self.publishing, recorder, clock)
        self.picture, self.readings = Picture(), [ClientReading("s", RUNTIME, "HLS", 1, 10, 0, 0, 0, 0, 0)]
        self.sampling = Sampling(
            self, self.picture, self.publishing, self.viewing, recorder, clock, name="node-1", most=10
        )
        self.door = TriggerDoor(SECRET, self.publishing, self.viewing, outputs)

    async def clients(self) -> list[ClientReading]:
        """As the node's API tells."""
        return self.readings

    async def fire(self, name: str) -> int:
        """The recorded request of this name; its status."""
        exchange = EXCHANGES[name]
        messages = [{"type": "http.request", "body": exchange.body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        raw = [(n.lower().encode(), value.encode("latin-1")) for n, value in exchange.headers.items()]
        path = f"{PREFIX}{SECRET}/{exchange.trigger.lower()}"
        await self.door({"type": "http", "method": "POST", "path": path, "headers": raw}, receive, send)
        return int(sent[0]["status"])

    async def delivered(self) -> list[Event]:
        """Everything recorded, as Decklog's log has it."""
        on_disk = b"".join(path.read_bytes() for path in self.directory.iterdir())
        assert [secret for secret in SECRETS if secret.encode() in on_disk] == []
        before = len(self.yard.kept.records)
        sending = asyncio.create_task(self.delivery.run())
        async with asyncio.timeout(30):
            while self.delivery.lag_bytes():
                await self.yard.clock.advance(0)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        records = self.yard.kept.records[before:]
        return [Event.FromString(unframed(one)) for record in records for one in split(record.value)]


@pytest.fixture
def node(yard: Yard, tmp_path: Path) -> Node:
    return Node(yard, tmp_path)


async def test_pushes_and_recordings_reach_the_log(node: Node) -> None:
    fired = ["push_rewrite", "push_out_start_rtmp", "push_end_clean", "push_end_failed"]
    fired += ["push_out_start_file", "recording_segment", "recording_end"]
    for name in fired:
        assert await node.fire(name) == 200
    events = await node.delivered()
    assert node.wire.refused == []
    pushes = [e.push_lifecycle for e in events if e.type == "push-lifecycle"]
    assert [push.state for push in pushes] == ["starting", "ended", "failed"]
    assert {push.target for push in pushes} == {"rtmps://a.rtmp.example.com:443/live2/…"}
    assert (pushes[1].bytes, pushes[1].duration_ms, pushes[1].push_id) == (2453125, 27925, "3301")
    recordings = [e.recording_lifecycle for e in events if e.type == "recording-lifecycle"]
    assert [recording.state for recording in recordings] == ["started", "progress", "ready"]
    assert len({recording.artifact for recording in recordings}) == 1
    ready = recordings[-1]
    assert (ready.bytes, ready.media_ms, ready.format) == (2453125, 27925, "mkv")
    assert {(e.node_id, e.cluster_id, e.region, e.claim_epoch) for e in events} == {
        ("node-1", "default", "local", 1)
    }


async def test_a_trigger_sent_again_is_the_same_event(node: Node) -> None:
    for _ in range(2):
        for name in ("push_rewrite", "push_end_clean", "recording_end"):
            await node.fire(name)
    events = [e for e in await node.delivered() if e.type in ("push-lifecycle", "recording-lifecycle")]
    assert node.wire.refused == []
    assert len({e.event_id for e in events}) == len(events) == 2


async def test_samples_reach_the_log(node: Node) -> None:
    await node.fire("push_rewrite")
    await node.fire("stream_buffer_full")
    await node.viewing.opened(user_new_of(node))
    node.picture.streams = [LiveStream(RUNTIME, 1, 1, 0, 0, 0, {})]
    for up in (10, 50_010):
        node.readings = [ClientReading("s", RUNTIME, "HLS", 9, up, 0, 700, 40, 2, 1)]
        await node.sampling.sample_clients()
        await node.yard.clock.advance(10)
    await node.sampling.sample_streams()
    events = {e.type: e for e in await node.delivered()}
    assert node.wire.refused == []
    assert events["client-sample"].client_sample.up_bytes == 50_000
    detailed = events["stream-metrics-detailed"].stream_metrics_detailed
    assert {track.codec for track in detailed.tracks} >= {"H264", "AAC"}
    assert [(output.connector, output.viewers) for output in detailed.outputs] == [("CMAF", 1)]


def user_new_of(node: Node) -> Any:
    """A viewer's session on the node's stream, now."""
    opened = user_new("s")
    now = int(node.yard.clock.now().timestamp() * 1000)
    lines = (RUNTIME, *opened.lines[1:])
    return type(opened)(opened.name, lines, opened.uuid, now, opened.instance, opened.pid)
