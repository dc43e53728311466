"""What flows past all tenants at once: sockets, topics, players' reports. Each tenant has its own of it alone."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from fixtures_followers import Follower, both, followed
from fixtures_http import http_client
from fixtures_platform import Platform, eventually
from fixtures_two_tenants import Victim, make_victim

from frameworks.cli.letters import REPLAYED
from frameworks.contracts import telemetry, topics
from frameworks.contracts.framing import split, unframed
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.pb.usage_v1_pb2 import UsageRecord
from frameworks.contracts.telemetry import Subject
from frameworks.kit.clock import random_text
from frameworks.kit.eventlog import EventLog, Record, UnknownTopic, connect

EVENTS = frozenset({topics.ANALYTICS_EVENTS, topics.SERVICE_EVENTS})
LETTERS = frozenset({topics.DEAD_LETTERS, topics.UNREADABLE_EVENTS})
"""They hold what nobody could read, under the tenant that owns the sender."""


@asynccontextmanager
async def log_of(platform: Platform) -> AsyncIterator[EventLog]:
    """The platform's log, as whoever runs it sees it."""
    home = platform.data / "nats"
    token, port = ((home / name).read_text().strip() for name in ("token", "port"))
    log = await connect(f"nats://{token}@127.0.0.1:{port}")
    yield log
    await log.close()


@pytest.fixture(scope="module")
async def pair(platform: Platform) -> tuple[Victim, Victim]:
    """Two tenants, each with one of everything."""
    return await make_victim(platform), await make_victim(platform)


async def test_no_socket_carries_another_tenants_changes(
    platform: Platform, pair: tuple[Victim, Victim]
) -> None:
    """At every path, asked for by the other's identifiers; then again from the other's own position."""
    a, b = pair
    first = both(a, b, {})
    await followed(platform, first)
    assert {(f.owner.mark, f.path): f.leaks() for f in first if f.leaks()} == {}
    positions = {f.other.mark: f.last_position() for f in first}
    second = both(a, b, positions)
    await followed(platform, second)
    assert {(f.owner.mark, f.path): f.leaks() for f in second if f.leaks()} == {}


async def test_a_socket_that_hears_the_other_is_caught(
    platform: Platform, pair: tuple[Victim, Victim]
) -> None:
    """The same check, on a socket that says it is B's and has A's credential: a leak as large as can be."""
    a, b = pair
    (listening, *_) = both(a, b, {})
    await followed(platform, [listening])
    planted = Follower(b, a, listening.path, heard=listening.heard)
    assert a.tenant.tenant_id in planted.leaks()


def strangers(record: Record) -> set[str]:
    """The tenants that a record tells of and does not name in its header."""
    if record.topic in EVENTS:
        named = {_uuid(Event.FromString(unframed(framed)).tenant_id) for framed in split(record.value)}
    elif record.topic == topics.USAGE_WINDOWS:
        said = UsageRecord.FromString(record.value)
        named = {_uuid(said.window.tenant_id)} if said.HasField("window") else set()
    else:
        named = set()
    return named - {record.headers.get("tenant_id", "")}


def _uuid(raw: bytes) -> str:
    return str(UUID(bytes=raw))


async def records(log: EventLog, names: Iterable[str]) -> list[Record]:
    """All records of these topics; a topic that nobody needed yet has none."""
    found: list[Record] = []
    for name in names:
        try:
            found += [record async for record in log.replay(name)]
        except UnknownTopic:
            continue
    return found


async def test_every_record_of_every_topic_is_one_tenants(
    platform: Platform, pair: tuple[Victim, Victim]
) -> None:
    assert set(topics.OWNERS) == EVENTS | LETTERS | {topics.USAGE_WINDOWS}, (
        "say how a new topic names tenants"
    )
    async with log_of(platform) as log:
        found = await records(log, (*topics.OWNERS, REPLAYED))
    assert [(r.topic, r.offset, strangers(r)) for r in found if strangers(r)] == []
    for one, other in (pair, pair[::-1]):
        own = [r for r in found if r.headers.get("tenant_id") == one.tenant.tenant_id]
        assert {r.topic for r in own} >= EVENTS
        for record in own:
            text = record.value.decode("latin-1") + json.dumps(dict(record.headers))
            assert other.leaks(text) == set(), record
    assert all(r.headers.get("tenant_id") is not None for r in found if r.topic in EVENTS | LETTERS)
    assert all(r.value == b"" for r in found if r.topic == REPLAYED)


def test_a_record_of_two_tenants_is_caught(pair: tuple[Victim, Victim]) -> None:
    a, b = pair
    for name, value in _mixed(b).items():
        record = Record(name, 0, 1, value, {"tenant_id": a.tenant.tenant_id}, 0)
        assert strangers(record) == {b.tenant.tenant_id}, name


def _mixed(b: Victim) -> dict[str, bytes]:
    theirs = UUID(b.tenant.tenant_id).bytes
    event = Event(tenant_id=theirs).SerializeToString()
    used = UsageRecord()
    used.window.tenant_id = theirs
    framed = b"\x0a" + bytes([len(event)]) + event
    return dict.fromkeys(EVENTS, framed) | {topics.USAGE_WINDOWS: used.SerializeToString()}


@pytest.mark.parametrize("kind", ["boot", "session"])
async def test_a_players_report_tells_of_the_owner_of_its_token_alone(
    platform: Platform, pair: tuple[Victim, Victim], kind: str
) -> None:
    """B's token, and A's names everywhere else: refused where they contradict, else nobody's but B's."""
    a, b = pair
    subject = Subject(UUID(b.tenant.tenant_id), UUID(b.stream.id), b.stream.playback_id)
    foghorn = platform.host.identity(telemetry.ISSUER)
    token = foghorn.sign(subject.claims(), typ=telemetry.TYP, lifetime=timedelta(minutes=5))
    session = random_text(12)
    report = {"telemetryToken": token, "sessionId": session, "beaconSeq": 1, "playedMs": 1000}
    names = {"tenantId": a.tenant.tenant_id, "tenant_id": a.tenant.tenant_id, "streamId": a.stream.id}
    path = f"{platform.url('front')}/playback/telemetry/{kind}"
    async with http_client(timeout=20) as http:
        foreign = await http.post(path, content=json.dumps(report | {"contentId": a.stream.playback_id}))
        assert (foreign.status_code, foreign.json()["code"]) == (403, "telemetry.foreign")
        assert a.leaks(foreign.text) == set()
        taken = await http.post(path, content=json.dumps(report | names))
        assert (taken.status_code, taken.text) == (204, "")
    async with log_of(platform) as log:

        async def arrived() -> list[Record]:
            found = await records(log, [topics.ANALYTICS_EVENTS])
            return [record for record in found if session.encode() in record.value]

        found = await eventually(arrived, what="the report is in the log")
    assert {record.headers["tenant_id"] for record in found} == {b.tenant.tenant_id}
    assert [record for record in found if strangers(record)] == []
