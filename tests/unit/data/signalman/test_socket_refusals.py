"""Sockets: who is refused, and what ends one."""

import pytest
from fixtures_sockets import A, B, Place, refused
from picows import WSCloseCode, WSMsgType

from frameworks.data.signalman.api import sockets
from frameworks.data.signalman.api.door import Limits
from frameworks.data.signalman.api.handshake import SUBPROTOCOL


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
