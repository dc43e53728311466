"""Sockets: whose news it is, and where one goes on."""

from uuid import UUID

import pytest
from fixtures_signalman import event
from fixtures_sockets import TENANTS, A, B, Client, Place, refused

from frameworks.contracts.permissions.signalman import CHANNELS as RULES
from frameworks.contracts.topics import CHANNELS
from frameworks.data.signalman.api import sockets
from frameworks.data.signalman.api.door import Limits
from frameworks.data.signalman.api.handshake import PATHS, SUBPROTOCOL


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
