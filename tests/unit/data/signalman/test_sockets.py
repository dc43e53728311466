"""Sockets: who comes in, whose news it is, where one goes on, and who is cut."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from fixtures_signalman import MemoryLog, Replica, event
from picows import WSCloseCode, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from frameworks.contracts.permissions.signalman import CHANNELS as RULES
from frameworks.contracts.topics import CHANNELS
from frameworks.data.signalman.api import following, sockets
from frameworks.data.signalman.api.door import Door, Limits
from frameworks.data.signalman.api.handshake import PATHS, SUBPROTOCOL
from frameworks.data.signalman.api.messages import change_frame
from frameworks.data.signalman.domain.changes import Change
from frameworks.data.signalman.service.watched import Bounds
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.identity import Identity, TrustStore, Verifier

A, B = UUID(int=1), UUID(int=2)
TENANTS = {A: "tenant-a", B: "tenant-b"}
ALL = ("analytics:read", "infrastructure:read")


class Client(WSListener):
    """A client that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.code: int | None = None
        self.pings = 0
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Open."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A message."""
        if frame.msg_type == WSMsgType.TEXT:
            self.told.append(json.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.PING:
            self.pings += 1
        elif frame.msg_type == WSMsgType.CLOSE:
            self.code = int(cast("int", frame.get_close_code()))
            transport.disconnect()
        self.news.set()

    def on_ws_disconnected(self, _: WSTransport) -> None:
        """Gone."""
        self.code = self.code or 1006
        self.news.set()

    def say(self, **asked: Any) -> None:
        """Send a message."""
        self.transport.send(WSMsgType.TEXT, json.dumps(asked).encode())

    async def until(self, true: Callable[["Client"], Any]) -> Any:
        """What `true` says once it says something."""
        async with asyncio.timeout(5):
            while not (found := true(self)):
                self.news.clear()
                await self.news.wait()
        return found

    async def hears(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th message of a kind."""
        await self.until(lambda _: sum(told["type"] == kind for told in self.told) >= count)
        return [told for told in self.told if told["type"] == kind][count - 1]

    async def ended(self) -> int:
        """The code it was closed with."""
        await self.until(lambda _: self.code)
        assert self.code is not None
        return self.code

    @property
    def numbers(self) -> list[int]:
        """Which events it was told of as changes."""
        changes = (told for told in self.told if "event_id" in told and not told.get("snapshot"))
        return [UUID(told["event_id"]).int for told in changes]


@dataclass
class Place:
    """One replica with its listener."""

    log: MemoryLog
    clock: FakeClock
    identity: Identity
    verifier: Verifier
    replica: Replica
    limits: Limits = field(default_factory=lambda: Limits(per_tenant=3))
    history: dict[UUID, list[Change]] = field(default_factory=dict)
    api_tokens: dict[str, str] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    async def open(self) -> None:
        """Listen."""
        self.door = Door(self.replica.hub, self, self.verifier, self.exchange, self.clock, self.limits)
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setblocking(False)
        self.port = bound.getsockname()[1]
        self.server = await self.door.serve(bound, None)
        await self.replica.look()

    async def changes(self, tenant: UUID, metadata: Any) -> list[Change]:
        """What is live; only with the tenant's own credential."""
        token = dict(metadata)["authorization"].removeprefix("Bearer ")
        assert self.verifier.principal(token, "periscope").tenant == tenant
        return self.history.get(tenant, [])

    async def exchange(self, api_token: str) -> str:
        """Commodore's answer."""
        if api_token not in self.api_tokens:
            raise Unauthenticated("There is no such token.")
        return self.api_tokens[api_token]

    def token(self, tenant: UUID, *scopes: str, kind: str = "user", minutes: float = 15) -> str:
        """A user's token."""
        claims = {"sub": TENANTS[tenant], "aud": "frameworks", "kind": kind, "tenant": str(tenant)}
        told = claims | {"scopes": list(scopes or ALL), "roles": ["owner"]}
        return self.identity.sign(told, typ="user", lifetime=timedelta(minutes=minutes))

    async def connect(self, path: str = "/ws", **headers: str) -> Client:
        """A socket."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        _, client = await ws_connect(
            Client, f"ws://127.0.0.1:{self.port}{path}", extra_headers=named, enable_auto_pong=False
        )
        self.clients.append(cast("Client", client))
        return cast("Client", client)

    async def enter(self, tenant: UUID, *channels: str, position: str = "", path: str = "/ws") -> Client:
        """A socket that follows channels."""
        client = await self.connect(path, authorization=f"Bearer {self.token(tenant)}")
        client.say(action="subscribe", channels=list(channels), position=position)
        await client.hears("subscription_confirmed")
        return client

    async def publish(self, tenant: UUID, *numbers: int, kind: str = "stream-lifecycle") -> None:
        """Events, read by the replica."""
        self.log.append(0, tenant, [event(number, tenant, kind=kind) for number in numbers])
        await self.replica.read()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A replica with small limits."""
    clock, log, trust = FakeClock(), MemoryLog(), TrustStore(tmp_path)
    trust.register("commodore")
    bounds = Bounds(changes=8, octets=1 << 20, linger=timedelta(minutes=1))
    replica = Replica(log, clock, bounds, encode=change_frame)
    made = Place(
        log,
        clock,
        Identity("commodore", trust.private_key("commodore"), clock),
        Verifier(trust, clock),
        replica,
    )
    await made.open()
    yield made
    made.door.close()
    for client in made.clients:
        client.transport.disconnect(graceful=False)
    made.server.close()
    await asyncio.sleep(0)


async def refused(place: Place, path: str = "/ws", **headers: str) -> int:
    """The HTTP status of a refusal."""
    with pytest.raises(WSHandshakeError) as refusal:
        await place.connect(path, **headers)
    assert refusal.value.response is not None
    return int(refusal.value.response.status)


async def test_a_subscriber_is_told_how_things_are_then_what_happens(place: Place) -> None:
    await place.publish(A, 1)
    client = await place.enter(A, "streams")
    started = await client.hears("snapshot_started")
    assert (started["reason"], started["complete"]) == ("subscribed", True)
    finished = await client.hears("snapshot_finished")
    await place.publish(A, 2)
    change = await client.hears("stream-lifecycle", 2)
    assert [told["type"] for told in client.told] == [
        *("authenticated", "subscription_confirmed", "snapshot_started", "stream-lifecycle"),
        *("snapshot_finished", "stream-lifecycle"),
    ]
    assert change["channel"] == "streams"
    assert change["tenant_id"] == str(A)
    assert change["data"]["state"] == "live"
    assert change["data"]["viewers"] == 3
    assert change["timestamp"].endswith("Z")
    assert change["position"] not in ("", finished["position"])
    assert client.numbers == [2]


async def test_the_keyed_hash_of_a_viewers_address_stays_inside(place: Place) -> None:
    client = await place.enter(A, "analytics")
    await place.publish(A, 1, kind="user-connection")
    assert "viewer_hash" not in (await client.hears("user-connection"))["data"]


@pytest.mark.parametrize("how", ["header", "subprotocol", "message"])
async def test_a_credential_may_come_in_three_ways(place: Place, how: str) -> None:
    token = place.token(A)
    headers = {
        "header": {"authorization": f"Bearer {token}"},
        "subprotocol": {"sec_websocket_protocol": f"{SUBPROTOCOL}, bearer.{token}"},
        "message": {},
    }
    client = await place.connect(**headers[how])
    if how == "message":
        client.say(action="authenticate", token=token)
    assert (await client.hears("authenticated"))["tenant_id"] == str(A)
    chosen = client.transport.response.headers.get("sec-websocket-protocol")
    assert chosen == (SUBPROTOCOL if how == "subprotocol" else None)


async def test_a_path_carries_its_channel_and_takes_a_position(place: Place) -> None:
    token = place.token(A)
    first = await place.connect("/ws/streams", authorization=f"Bearer {token}")
    position = (await first.hears("snapshot_finished"))["position"]
    await place.publish(A, 1)
    await place.publish(A, 2, kind="user-connection")
    second = await place.connect(f"/ws/streams?position={position}", authorization=f"Bearer {token}")
    assert (await second.hears("resumed"))["channels"] == ["streams"]
    await second.hears("stream-lifecycle")
    await first.hears("stream-lifecycle")
    assert first.numbers == second.numbers == [1]


async def test_one_who_comes_back_gets_what_it_missed_and_nothing_twice(place: Place) -> None:
    client = await place.enter(A, "all")
    await place.publish(A, 1, 2)
    position = (await client.hears("stream-lifecycle", 1))["position"]
    client.transport.disconnect()
    await place.publish(A, 3)
    again = await place.enter(A, "all", position=position)
    await again.hears("resumed")
    await place.publish(A, 4)
    await again.until(lambda _: len(again.numbers) == 3)
    assert again.numbers == [2, 3, 4]


async def test_one_who_was_away_too_long_gets_a_snapshot_and_is_told_why(place: Place) -> None:
    client = await place.enter(A, "streams")
    position = (await client.hears("snapshot_finished"))["position"]
    client.transport.disconnect()
    for number in range(1, 12):
        await place.publish(A, number)
    again = await place.enter(A, "streams", position=position)
    assert (await again.hears("snapshot_started"))["reason"] == "too_old"
    assert (await again.hears("stream-lifecycle"))["snapshot"]


@pytest.mark.parametrize("position", ["gossip", "0123456789ab-1.1", "0123456789ab-1", "-", "ff" * 300])
async def test_what_is_no_position_of_ours_begins_with_a_snapshot(place: Place, position: str) -> None:
    client = await place.enter(A, "streams", position=position)
    assert (await client.hears("snapshot_started"))["reason"] == "unknown_position"


async def test_a_position_the_log_never_reached_begins_with_a_snapshot(place: Place) -> None:
    client = await place.enter(A, "streams")
    sealed = (await client.hears("snapshot_finished"))["position"].partition("-")[0]
    other = await place.enter(A, "streams", position=f"{sealed}-ff.ff")
    assert (await other.hears("snapshot_started"))["reason"] == "unknown_position"


async def test_channels_can_be_added_and_left(place: Place) -> None:
    client = await place.enter(A, "streams")
    client.say(action="subscribe", channels=["analytics"])
    assert (await client.hears("subscription_confirmed", 2))["channels"] == ["analytics", "streams"]
    await client.hears("snapshot_finished", 2)
    await place.publish(A, 1)
    await place.publish(A, 2, kind="user-connection")
    await client.hears("user-connection")
    client.say(action="unsubscribe", channels=["streams"])
    assert (await client.hears("unsubscription_confirmed"))["channels"] == ["analytics"]
    await place.publish(A, 3)
    await place.publish(A, 4, kind="user-connection")
    await client.hears("user-connection", 2)
    assert client.numbers == [1, 2, 4]


async def test_the_same_subscription_twice_is_confirmed_and_changes_nothing(place: Place) -> None:
    client = await place.enter(A, "streams")
    client.say(action="subscribe", channels=["streams"])
    await client.hears("subscription_confirmed", 2)
    await place.publish(A, 1)
    await client.hears("stream-lifecycle")
    assert client.numbers == [1]


async def test_system_is_open_only_to_the_scope_for_infrastructure(place: Place) -> None:
    token = place.token(A, "analytics:read")
    client = await place.connect(authorization=f"Bearer {token}")
    assert (await client.hears("authenticated"))["channels"] == ["analytics", "streams"]
    client.say(action="subscribe", channels=["system"])
    assert (await client.hears("error"))["code"] == "signalman.channel_forbidden"
    client.say(action="subscribe", channels=["all"])
    assert (await client.hears("subscription_confirmed"))["channels"] == ["analytics", "streams"]
    await place.publish(A, 1, kind="node-lifecycle")
    await place.publish(A, 2)
    await client.hears("stream-lifecycle")
    assert client.numbers == [2]
    assert await refused(place, "/ws/system", authorization="Bearer a.b.c") == 401


def test_every_channel_and_every_path_has_a_rule() -> None:
    assert RULES.keys() == CHANNELS
    assert set(PATHS) == {"/ws"} | {f"/ws/{name}" for name in CHANNELS}


# Two tenants.


async def walk(place: Place) -> None:
    """Each tenant over every path and channel, with the other's name and position: never the other's news."""
    first = {tenant: await place.enter(tenant, "all") for tenant in TENANTS}
    positions = {t: (await c.hears("snapshot_finished"))["position"] for t, c in first.items()}
    mine: list[tuple[UUID, Client]] = list(first.items())
    for tenant, other in ((A, B), (B, A)):
        token, stolen = place.token(tenant), positions[other]
        for path in PATHS:
            by_header = await place.connect(f"{path}?position={stolen}", authorization=f"Bearer {token}")
            offered = f"{SUBPROTOCOL}, bearer.{token}"
            by_offer = await place.connect(f"{path}?tenant_id={other}", sec_websocket_protocol=offered)
            for client in (by_header, by_offer):
                await client.hears("authenticated")
                said = {"tenant_id": str(other), "user_id": TENANTS[other], "position": stolen}
                client.say(action="subscribe", channels=["all"], **said)
                await begun(client, 1 if path == "/ws" else 2)
                mine.append((tenant, client))
    for number, kind in enumerate(("stream-lifecycle", "user-connection", "node-lifecycle"), 1):
        await place.publish(A, 1000 + number, kind=kind)
        await place.publish(B, 2000 + number, kind=kind)
    for tenant, client in mine:
        await client.until(lambda c: len(c.numbers) >= 3)
        spoken = {told["tenant_id"] for told in client.told if "tenant_id" in told}
        assert spoken == {str(tenant)}
        assert set(client.numbers) == {base + (1000 if tenant == A else 2000) for base in (1, 2, 3)}


async def begun(client: Client, times: int) -> None:
    """It was given as many snapshots: nobody goes on at another tenant's position."""
    starts = ("snapshot_finished", "resumed")
    await client.until(lambda c: sum(told["type"] in starts for told in c.told) >= times)
    assert not any(told["type"] == "resumed" for told in client.told)


@pytest.fixture
async def roomy(place: Place) -> Place:
    """A place with room for the walk."""
    place.door.limits = Limits(per_tenant=50)
    return place


async def test_two_tenants_hear_only_of_their_own(roomy: Place) -> None:
    roomy.log.append(0, A, [event(901, A)])
    roomy.log.append(0, B, [event(902, B)])
    await roomy.replica.read()
    await walk(roomy)


async def test_the_walk_notices_a_leak(roomy: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = roomy.replica.hub.hold
    monkeypatch.setattr(roomy.replica.hub, "hold", lambda _: hold(A))
    with pytest.raises(AssertionError):
        await walk(roomy)


async def test_a_socket_can_not_become_another_tenants(place: Place) -> None:
    client = await place.enter(A, "streams")
    client.say(action="authenticate", token=place.token(B))
    assert await client.ended() == sockets.UNAUTHENTICATED


# Who is refused.


async def test_a_bad_credential_opens_no_socket(place: Place) -> None:
    assert await refused(place, authorization="Bearer a.b.c") == 401
    assert await refused(place, authorization="Basic dXNlcg==") == 401
    assert await refused(place, sec_websocket_protocol=f"{SUBPROTOCOL}, bearer.a.b.c") == 401
    assert await refused(place, sec_websocket_protocol=f"bearer.{place.token(A)}") == 400
    both = {
        "authorization": f"Bearer {place.token(A)}",
        "sec_websocket_protocol": "frameworks.live, bearer.x",
    }
    assert await refused(place, **both) == 400
    assert await refused(place, "/elsewhere") == 404


async def test_an_unknown_api_token_ends_the_socket_and_a_known_one_opens_it(place: Place) -> None:
    stranger = await place.connect(authorization="Bearer fw_nobody")
    assert await stranger.ended() == sockets.UNAUTHENTICATED
    place.api_tokens["fw_known"] = place.token(A, "analytics:read", kind="api_token", minutes=5)
    known = await place.connect(authorization="Bearer fw_known")
    assert (await known.hears("authenticated"))["tenant_id"] == str(A)


async def test_a_credential_without_a_channel_ends_the_socket(place: Place) -> None:
    client = await place.connect(authorization=f"Bearer {place.token(A, 'streams:read')}")
    assert await client.ended() == sockets.FORBIDDEN


async def test_pages_of_other_origins_are_refused_unless_listed(place: Place) -> None:
    token = f"Bearer {place.token(A)}"
    assert await refused(place, authorization=token, origin="https://evil.example") == 403
    await place.connect(authorization=token, origin=f"http://127.0.0.1:{place.port}")
    place.door.limits = Limits(origins=frozenset({"https://good.example"}))
    await place.connect(authorization=token, origin="https://good.example")


async def test_a_tenant_has_a_limited_number_of_sockets(place: Place) -> None:
    open_now = [await place.enter(A, "streams") for _ in range(3)]
    fourth = await place.connect(authorization=f"Bearer {place.token(A)}")
    assert await fourth.ended() == sockets.TOO_MANY
    await place.enter(B, "streams")
    open_now[0].transport.send_close(WSCloseCode.OK)
    await open_now[0].ended()
    await place.enter(A, "streams")


async def test_a_process_has_a_limited_number_of_sockets(place: Place) -> None:
    place.door.limits = Limits(sockets=1)
    await place.enter(A, "streams")
    assert await refused(place, authorization=f"Bearer {place.token(B)}") == 503
    place.door.limits = Limits(unknown=0)
    assert await refused(place) == 503


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"gossip", sockets.BAD_MESSAGE),
        (b"[]", sockets.BAD_MESSAGE),
        (b'{"action": "subscribe", "channels": "streams"}', sockets.BAD_MESSAGE),
        (b"\xff\xfe", sockets.BAD_MESSAGE),
        (b"x" * 3000, sockets.TOO_BIG),
        (b"x" * 20_000, sockets.TOO_BIG),
    ],
)
async def test_nonsense_ends_the_socket(place: Place, said: bytes, code: int) -> None:
    client = await place.enter(A, "streams")
    client.transport.send(WSMsgType.TEXT, said)
    assert await client.ended() == code


async def test_binary_messages_and_fragments_are_refused(place: Place) -> None:
    first, second = await place.enter(A, "streams"), await place.enter(A, "streams")
    first.transport.send(WSMsgType.BINARY, b"{}")
    second.transport.send(WSMsgType.TEXT, b"{", fin=False)
    assert await first.ended() == await second.ended() == sockets.NOT_UNDERSTOOD


async def test_an_unknown_action_or_channel_is_answered_and_the_socket_stays(place: Place) -> None:
    client = await place.enter(A, "streams")
    client.say(action="dance")
    assert (await client.hears("error"))["code"] == "signalman.unknown_action"
    client.say(action="subscribe", channels=["gossip"])
    assert (await client.hears("error", 2))["code"] == "signalman.bad_subscription"
    await place.publish(A, 1)
    await client.hears("stream-lifecycle")


async def test_who_talks_without_end_is_cut(place: Place) -> None:
    client = await place.enter(A, "streams")
    for _ in range(sockets.MESSAGES + 1):
        client.transport.send_ping(b"")
    assert await client.ended() == sockets.TOO_FAST


# Time.


async def seconds(place: Place, count: int) -> None:
    """Time passes, and the door looks after its sockets."""
    for _ in range(count):
        await place.clock.advance(1)
        place.door.tick()
        await asyncio.sleep(0)


async def test_one_who_does_not_say_who_it_is_is_sent_away(place: Place) -> None:
    client = await place.connect()
    await seconds(place, 25)
    assert await client.ended() == sockets.UNAUTHENTICATED


async def test_a_silent_client_is_cut_and_one_that_answers_stays(place: Place) -> None:
    silent, alive = await place.enter(A, "streams"), await place.enter(B, "streams")
    await seconds(place, 65)
    await alive.until(lambda c: c.pings)
    alive.transport.send_pong(b"")
    alive.say(action="subscribe", channels=["streams"])
    await alive.hears("subscription_confirmed", 2)
    await seconds(place, 60)
    assert await silent.ended() == sockets.SILENT
    assert alive.code is None


async def test_a_socket_ends_with_its_credential(place: Place) -> None:
    client = await place.enter(A, "streams")
    await place.clock.advance(16 * 60)
    await seconds(place, 10)
    assert await client.ended() == sockets.UNAUTHENTICATED


async def test_an_api_token_is_exchanged_again_while_it_holds(place: Place) -> None:
    place.api_tokens["fw_known"] = place.token(A, kind="api_token", minutes=5)
    client = await place.connect(authorization="Bearer fw_known")
    client.say(action="subscribe", channels=["streams", "system"])
    await client.hears("snapshot_finished")
    await place.clock.advance(6 * 60)
    place.api_tokens["fw_known"] = place.token(A, "analytics:read", kind="api_token", minutes=5)
    await seconds(place, 10)
    assert (await client.hears("unsubscription_confirmed"))["channels"] == ["streams"]
    await place.publish(A, 1)
    await client.hears("stream-lifecycle")
    del place.api_tokens["fw_known"]
    await place.clock.advance(6 * 60)
    await seconds(place, 10)
    assert await client.ended() == sockets.UNAUTHENTICATED


async def test_a_stopping_replica_says_so_and_admits_nobody(place: Place) -> None:
    client = await place.enter(A, "streams")
    place.door.close()
    assert await client.ended() == sockets.GOING_AWAY
    assert await refused(place, authorization=f"Bearer {place.token(A)}") == 503


async def test_a_slow_socket_is_cut_and_the_others_go_on(place: Place) -> None:
    slow = await place.enter(A, "streams")
    position = (await slow.hears("snapshot_finished"))["position"]
    (held,) = place.door._held
    quick = await place.enter(A, "streams")
    held.pause_writing()
    await place.publish(A, 1)
    await quick.hears("stream-lifecycle")
    await seconds(place, 11)
    assert await slow.ended() == 1006
    assert (quick.code, slow.numbers) == (None, [])
    again = await place.enter(A, "streams", position=position)
    await again.hears("stream-lifecycle")
    assert again.numbers == [1]


async def test_a_client_that_really_stops_reading_holds_up_nobody_and_is_told_of_the_gap(
    place: Place,
) -> None:
    place.door.limits = Limits(buffer=16 * 1024)
    slow = await place.enter(A, "streams")
    await slow.hears("snapshot_finished")
    (held,) = place.door._held
    quick = await place.enter(A, "streams")
    slow.transport.underlying_transport.pause_reading()
    number = 0
    while held.paused_at is None or number < 20:
        number += 1
        big = event(number, A)
        big.stream_lifecycle.detail = "x" * 50_000
        place.log.append(0, A, [big])
        await place.replica.read()
        await quick.hears("stream-lifecycle", number)
    waiting = held._transport.underlying_transport.get_write_buffer_size()
    for _ in range(20):
        number += 1
        await place.publish(A, number)
    await quick.until(lambda c: c.numbers[-1] == number)
    assert held._transport.underlying_transport.get_write_buffer_size() <= waiting
    slow.transport.underlying_transport.resume_reading()
    assert (await slow.hears("snapshot_started", 2))["reason"] == "gap"
    await slow.hears("snapshot_finished", 2)
    await place.publish(A, number + 1)
    await slow.until(lambda c: c.numbers[-1] == number + 1)


async def test_a_socket_that_was_full_for_a_moment_goes_on_where_it_was(place: Place) -> None:
    client = await place.enter(A, "streams")
    await client.hears("snapshot_finished")
    (held,) = place.door._held
    held.pause_writing()
    await place.publish(A, 1, 2)
    assert client.numbers == []
    held.resume_writing()
    await place.publish(A, 3)
    await client.until(lambda c: len(c.numbers) == 3)
    assert client.numbers == [1, 2, 3]


async def test_a_socket_that_was_full_for_too_long_is_told_of_the_gap(place: Place) -> None:
    client = await place.enter(A, "streams")
    await client.hears("snapshot_finished")
    (held,) = place.door._held
    held.pause_writing()
    for number in range(1, 20):
        await place.publish(A, number)
    held.resume_writing()
    assert (await client.hears("snapshot_started", 2))["reason"] == "gap"
    assert UUID((await client.hears("stream-lifecycle"))["event_id"]).int == 19


async def test_frames_of_a_turn_are_written_in_one_piece_to_each_socket(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await place.enter(A, "streams") for _ in range(2)]
    for client in clients:
        await client.hears("snapshot_finished")
    written: list[bytes] = []
    write = following.Feed.write

    def counted(feed: following.Feed, frames: bytes) -> None:
        written.append(frames)
        write(feed, frames)

    monkeypatch.setattr(following.Feed, "write", counted)
    place.log.append(0, A, [event(1, A)])
    place.log.append(1, A, [event(2, A)])
    await place.replica.read()
    for client in clients:
        await client.hears("stream-lifecycle", 2)
    assert len(written) == 2
    assert written[0] is written[1]
