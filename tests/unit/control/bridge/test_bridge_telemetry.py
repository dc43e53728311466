"""Players' reports: believed by their token alone, counted once, and never worth a traceback."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from frameworks.contracts import telemetry
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.telemetry import Subject
from frameworks.control.bridge.api.telemetry import beacons
from frameworks.control.bridge.api.telemetry.beacons import BadBeacon
from frameworks.control.bridge.api.telemetry.door import SESSION_BYTES, TelemetryDoor
from frameworks.control.bridge.transport.ratelimit import Buckets, Rate
from frameworks.kit import http, trace
from frameworks.kit.clock import FakeClock, uuid7
from frameworks.kit.geo import Place
from frameworks.kit.identity import Identity, TrustStore, Verifier

SESSION = "/playback/telemetry/session"
BOOT = "/playback/telemetry/boot"
CMCD = {"content-type": "application/cmcd"}


class Kept(list[events.Event]):
    """Where events go; room for so many."""

    room = 1000

    def offer(self, event: events.Event) -> bool:
        """Take the event while there is room."""
        if len(self) >= self.room:
            return False
        self.append(event)
        return True


class Atlas:
    """Everybody is in Ghent."""

    def place(self, address: str) -> Place | None:
        """Ghent."""
        return Place(country="BE", city="Ghent", latitude=51.05, longitude=3.72, cell=5)


class Door:
    """The door, the key its tokens are signed with, and what came through."""

    def __init__(self, keys: TrustStore, *, per_minute: int = 1000) -> None:
        self.clock = FakeClock()
        self.kept = Kept()
        self.signer = Identity("foghorn", keys.private_key("foghorn"), self.clock)
        self.other = Identity("commodore", keys.private_key("commodore"), self.clock)
        budget = Buckets(Rate(per_minute, per_minute), self.clock)
        door = TelemetryDoor(Verifier(keys, self.clock), self.kept, Atlas(), budget, self.clock)
        self.app = http.protect(Starlette(routes=door.routes()), http.Policy(service="bridge"))
        self.subject = Subject(uuid7(), uuid7(), "p" * 16)

    def token(self, subject: Subject | None = None, **more: Any) -> str:
        """A token for what is watched."""
        claims: dict[str, Any] = (subject or self.subject).claims() | more
        return self.signer.sign(claims, typ=telemetry.TYP, lifetime=timedelta(hours=1))

    async def send(self, path: str, body: Any, method: str = "POST", **headers: str) -> httpx.Response:
        """The answer to a report."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        transport = httpx.ASGITransport(self.app, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
            return await client.request(method, path, content=content, headers=headers)

    def session(self, sequence: int = 1, **more: Any) -> dict[str, Any]:
        """A session's report."""
        token = more.pop("token", None) or self.token()
        return {"telemetryToken": token, "sessionId": "s1", "beaconSeq": sequence} | more


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    """Trust in Foghorn and Commodore."""
    store = TrustStore(Path(tmp_path_factory.mktemp("keys")))
    for service in ("foghorn", "commodore"):
        store.register(service)
    return store


@pytest.fixture
def make_door(keys: TrustStore) -> Callable[..., Door]:
    """Builds a door."""
    return lambda **more: Door(keys, **more)


@pytest.fixture
def door(make_door: Callable[..., Door]) -> Door:
    """A door nobody has knocked at."""
    return make_door()


async def test_a_session_becomes_an_event_of_the_tokens_tenant(door: Door) -> None:
    said = door.session(
        tenantId=str(uuid7()),
        playedMs=30_000,
        rebufferMs=1_000,
        rebufferCount=2,
        bitrateBpsSeconds=75_000_000,
    )
    answer = await door.send(SESSION, said, **{"content-type": "text/plain;charset=UTF-8"})
    assert (answer.status_code, answer.content) == (204, b"")
    (event,) = door.kept
    assert UUID(bytes=event.tenant_id) == door.subject.tenant
    assert UUID(bytes=event.stream_id) == door.subject.stream
    session = event.player_session
    assert (session.played_ms, session.stalled_ms, session.stalls) == (30_000, 1_000, 2)
    assert session.bitrate_ms == 30_000 * 2500
    assert (session.place.city, session.report) == ("Ghent", "beacon")


async def test_a_report_carries_the_trace_it_came_in(door: Door) -> None:
    traces = ["0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"]
    await door.send(SESSION, door.session(), traceparent=trace.header(traces[0]))
    boot = {"telemetryToken": door.token(), "sessionId": "s1", "totalTtfMs": 850}
    await door.send(BOOT, boot, traceparent=trace.header(traces[1]))
    assert [event.trace_id for event in door.kept] == traces


async def test_a_boot_tells_its_parts(door: Door) -> None:
    boot = {
        "telemetryToken": door.token(),
        "sessionId": "s1",
        "contentId": door.subject.playback_id,
        "outcome": "success",
        "totalTtfMs": 850,
        "spans": {"gatewayResolveMs": 40, "connectMs": 90},
        "resources": [{"kind": "manifest", "cacheStatus": "Hit from cache"}],
    }
    assert (await door.send(BOOT, boot)).status_code == 204
    (event,) = door.kept
    found = event.player_boot
    assert (found.outcome, found.first_frame_ms, found.resolve_ms, found.connect_ms) == (
        "playing",
        850,
        40,
        90,
    )
    assert found.cache_hit


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"outcome": "error"}, "failed"),
        ({"errorCode": "x"}, "failed"),
        ({}, "left"),
        ({"totalTtfMs": 5}, "playing"),
        ({"outcome": "abandoned"}, "left"),
    ],
)
def test_an_outcome_is_one_of_three(said: dict[str, Any], outcome: str) -> None:
    boot = beacons.read_boot(json.dumps({"sessionId": "s"} | said).encode())
    assert beacons.outcome(boot) == outcome


async def test_a_report_sent_twice_counts_once(door: Door) -> None:
    said = door.session(playedMs=5)
    await door.send(SESSION, said)
    door.clock.now()
    await door.clock.advance(3)
    assert (await door.send(SESSION, said)).status_code == 204
    await door.send(SESSION, door.session(2, playedMs=5))
    assert len(door.kept) == 2
    assert len({event.event_id for event in door.kept}) == 2


async def test_the_same_report_has_the_same_id_everywhere_and_another_owners_has_not(
    make_door: Callable[..., Door],
) -> None:
    one, two = make_door(), make_door()
    two.subject = one.subject
    await one.send(SESSION, one.session())
    await two.send(SESSION, two.session())
    assert one.kept[0].event_id == two.kept[0].event_id
    three = make_door()
    three.subject = Subject(uuid7(), one.subject.stream, one.subject.playback_id)
    await three.send(SESSION, three.session())
    assert three.kept[0].event_id != one.kept[0].event_id


async def test_forged_foreign_and_expired_tokens_are_refused(door: Door) -> None:
    foreign = door.other.sign(door.subject.claims(), typ=telemetry.TYP, lifetime=timedelta(hours=1))
    sort = door.signer.sign(door.subject.claims(), typ="service", lifetime=timedelta(hours=1))
    nothing = door.token(tenant="x")
    head, payload, mark = door.token().split(".")
    changed = f"{head}.{payload[:-4]}AAAA.{mark}"
    for token in (foreign, sort, nothing, changed, "x", "a.b.c", "é"):
        answer = await door.send(SESSION, door.session(token=token))
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated"), token
        assert answer.headers["access-control-allow-origin"] == "*"
    old = door.session(token=door.token())
    await door.clock.advance(2 * 3600)
    assert (await door.send(SESSION, old)).status_code == 401
    assert (await door.send(SESSION, {"sessionId": "s", "beaconSeq": 1})).status_code == 401
    elsewhere = await door.send(SESSION, door.session(contentId="q" * 16))
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "telemetry.foreign")
    assert door.kept == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"beaconSeq": -1}',
        b'{"beaconSeq": 1e99}',
        b'{"beaconSeq": "1"}',
        b"[" * 5000,
        b'{"sessionId": "s", "beaconSeq": 1, "playedMs": 99999999999}',
    ],
)
async def test_what_is_no_report_gets_a_reason(door: Door, body: bytes) -> None:
    answer = await door.send(SESSION, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "telemetry.bad_report")
    assert answer.json()["message"]


async def test_bodies_and_types_have_bounds(door: Door) -> None:
    assert (await door.send(SESSION, b"x" * (SESSION_BYTES + 1))).status_code == 413
    answer = await door.send(SESSION, door.session(), **{"content-type": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (400, "telemetry.unsupported_type")
    assert (await door.send(BOOT, b"sid=1", **CMCD)).status_code == 400


async def test_any_page_may_ask_first(door: Door) -> None:
    answer = await door.send(SESSION, b"", "OPTIONS", origin="https://anywhere.example")
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "cmcd-session" in answer.headers["access-control-allow-headers"].lower()


async def test_an_address_has_so_many_reports_a_minute(make_door: Callable[..., Door]) -> None:
    door = make_door(per_minute=3)
    answers = [await door.send(SESSION, door.session(n)) for n in range(4)]
    assert [a.status_code for a in answers] == [204, 204, 204, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    await door.clock.advance(60)
    assert (await door.send(SESSION, door.session(9))).status_code == 204


async def test_when_nothing_more_can_be_kept_it_says_so(door: Door) -> None:
    door.kept.room = 0
    assert (await door.send(SESSION, door.session())).status_code == 503
    door.kept.room = 1
    assert (await door.send(SESSION, door.session())).status_code == 204


async def test_cmcd_is_taken_in_events_queries_and_headers(door: Door) -> None:
    path = f"{SESSION}?token={door.token()}"
    lines = b'sid="a",sn=0,sta=s,e=ps,ts=1000,v=2\nsid="a",sn=1,sta=p,e=ps,ts=1900,msd=900,v=2'
    assert (await door.send(path, lines, **CMCD)).status_code == 204
    assert [event.type for event in door.kept] == ["player-boot", "player-session"]
    assert door.kept[0].player_boot.first_frame_ms == 900
    assert (await door.send(path, lines, **CMCD)).status_code == 204
    assert len(door.kept) == 2
    query = await door.send(path + "&CMCD=br%3D900%2Csid%3D%22b%22%2Csu", b"", "GET")
    headers = {"cmcd-session": 'sid="c"', "cmcd-status": "bs"}
    assert (query.status_code, (await door.send(path, b"", "GET", **headers)).status_code) == (204, 204)
    assert [event.player_session.session_id for event in door.kept[2:]] == ["b", "c"]
    assert (await door.send(SESSION, lines, **CMCD)).status_code == 401
    assert (await door.send(path, b"sid=,", **CMCD)).json()["code"] == "telemetry.bad_cmcd"


async def test_an_artifacts_reports_carry_it(door: Door) -> None:
    artifact = Subject(door.subject.tenant, None, "p" * 16, "a" * 32, "recording")
    said = door.session(
        token=door.token(artifact),
        bucketWidthS=5,
        assetDurationS=60,
        retentionBuckets=[0, 1, 4],
        retentionSecondsWatched=[5, 5, 2.5],
        maxBucketReached=4,
    )
    assert (await door.send(SESSION, said)).status_code == 204
    session = door.kept[0].player_session
    assert (session.artifact, session.artifact_kind, session.duration_s) == ("a" * 32, "recording", 60)
    assert (list(session.watched), session.reached_s) == ([10, 0, 2], 20)
    assert (door.kept[0].stream_id, door.kept[0].node_id) == (b"", "bridge")


@given(st.binary(max_size=400))
def test_any_body_is_a_report_or_refused(body: bytes) -> None:
    for read in (beacons.read_boot, beacons.read_session):
        try:
            read(body)
        except BadBeacon:
            continue


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**40), st.floats(allow_nan=False), st.text(max_size=9)
)


@given(st.dictionaries(st.sampled_from([*beacons.Session.__struct_encode_fields__]), VALUES))
def test_any_figures_make_an_event_or_are_refused(said: dict[str, Any]) -> None:
    body = json.dumps({"sessionId": "s", "beaconSeq": 1} | said).encode()
    try:
        session = beacons.read_session(body)
    except BadBeacon:
        return
    assert beacons.session_event(session).SerializeToString()
