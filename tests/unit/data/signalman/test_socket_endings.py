"""Sockets in time: credentials end, silent clients are cut, slow ones hold up nobody."""

import asyncio
from uuid import UUID

import pytest
from fixtures_signalman import event
from fixtures_sockets import A, B, Place, refused

from frameworks.data.signalman.api import following, sockets
from frameworks.data.signalman.api.door import Limits


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
