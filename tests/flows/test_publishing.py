"""Publishers: who is let in, who holds a stream, and what its owner reads of those that were refused."""

import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fixtures_platform import Encoder, Platform, Stream, Tenant, eventually
from flow_processes import children, everywhere, kill
from flow_stores import count, state

from frameworks.contracts.pb import purser_v1_pb2 as purser
from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceStub

Encoders = Callable[..., Awaitable[Encoder]]

REFUSED = "query($id: ID!) { stream(id: $id) { refusedIngests { reason message protocol keyFingerprint } } }"
ROTATE = "mutation($id: ID!) { refreshStreamKey(id: $id) { ... on Stream { streamKey } } }"
ADD_KEY = """
    mutation($id: ID!) {
      createStreamKey(streamId: $id, input: {name: "backup"}) { ... on StreamKey { id keyValue } }
    }
"""
DROP_KEY = """
    mutation($id: ID!, $key: ID!) {
      deleteStreamKey(streamId: $id, keyId: $key) { ... on DeleteSuccess { success } }
    }
"""
DELETE = "mutation($id: ID!) { deleteStream(id: $id) { ... on DeleteSuccess { success } } }"


async def refusals(tenant: Tenant, stream: Stream) -> list[dict[str, Any]]:
    """What the owner reads of refused attempts."""
    found: list[dict[str, Any]] = (await tenant.graphql(REFUSED, id=stream.id))["stream"]["refusedIngests"]
    return found


async def cut_off(encoder: Encoder) -> str:
    """The sentence a refused encoder ends with."""
    said = await encoder.ended()
    assert encoder.process.returncode != 0, said
    return said


async def assert_nothing_was_read(platform: Platform, stream: Stream) -> None:
    """No media, no claim, no history of the stream."""
    assert (await platform.play(stream.playback_id))["state"] == "offline"
    assert await count(platform, "stream_events", "stream_id = {s:UUID}", s=stream.stream_id) == 0


async def suspend(platform: Platform, tenant: Tenant, *, suspended: bool = True) -> None:
    """What an operator does to a tenant that does not pay."""
    stub = platform.host.peer(PurserServiceStub, service="cli")
    await stub.SetSuspension(
        purser.SetSuspensionRequest(tenant_id=tenant.tenant_id, suspended=suspended, reason="Unpaid.")
    )


async def live_under(platform: Platform, stream: Stream, claim: int) -> int:
    """Wait until the stream is live under this claim or a newer one; which it is.

    An encoder that comes back whenever its connection breaks may need more than one on a machine that is short of time.
    """
    found: dict[str, Any] = {}

    async def reached() -> bool:
        found.update(await state(platform, stream.stream_id))
        return (found.get("claim_epoch", 0) >= claim, found.get("state")) == (True, "live")

    try:
        await eventually(reached, within=60.0, what=f"live under claim {claim}")
    except pytest.fail.Exception as failed:
        failed.add_note(f"the stream is {found}")
        raise
    return int(found["claim_epoch"])


@everywhere
async def test_a_key_nobody_has_is_refused(platform: Platform, tenant: Tenant, encoders: Encoders) -> None:
    stream = await tenant.stream()
    wrong = "sk_" + "a" * (len(stream.key) - 3)
    said = await cut_off(await encoders(f"{platform.rtmp_url}/{wrong}"))
    assert "No stream has this key" in said
    await assert_nothing_was_read(platform, stream)


@everywhere
async def test_text_that_is_no_key_is_refused(platform: Platform, encoders: Encoders) -> None:
    said = await cut_off(await encoders(f"{platform.rtmp_url}/not-a-key"))
    assert "This is not a stream key" in said


@everywhere
async def test_a_rotated_key_is_refused_and_the_new_one_works(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    fresh = (await tenant.graphql(ROTATE, id=stream.id))["refreshStreamKey"]["streamKey"]
    said = await cut_off(await encoders(f"{platform.rtmp_url}/{stream.key}"))
    assert "deactivated or replaced" in said
    (refused,) = await refusals(tenant, stream)
    assert (refused["reason"], refused["protocol"]) == ("KEY_INACTIVE", "RTMP")
    assert refused["keyFingerprint"] not in ("", stream.key)
    await assert_nothing_was_read(platform, stream)
    await encoders(f"{platform.rtmp_url}/{fresh}")
    await platform.live(stream.playback_id)


async def test_a_deactivated_extra_key_is_refused(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    extra = (await tenant.graphql(ADD_KEY, id=stream.id))["createStreamKey"]
    await tenant.graphql(DROP_KEY, id=stream.id, key=extra["id"])
    assert "deactivated" in await cut_off(await encoders(f"{platform.rtmp_url}/{extra['keyValue']}"))
    assert [refused["reason"] for refused in await refusals(tenant, stream)] == ["KEY_INACTIVE"]
    await assert_nothing_was_read(platform, stream)


@everywhere
async def test_a_suspended_tenant_is_refused_and_told_why(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    one, other = await tenant.stream(), await tenant.stream()
    await suspend(platform, tenant)

    async def known() -> bool:
        return "suspended" in await cut_off(await encoders(f"{platform.rtmp_url}/{one.key}"))

    await eventually(known, what="a refusal because of the suspension")
    assert "suspended" in await cut_off(await encoders(f"{platform.rtmp_url}/{other.key}"))
    (refused,) = await refusals(tenant, other)
    assert refused["reason"] == "TENANT_SUSPENDED"
    assert "Billing" in refused["message"]
    await assert_nothing_was_read(platform, other)


async def test_a_suspension_ends_what_is_running(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    await suspend(platform, tenant)
    await cut_off(encoder)


@everywhere
async def test_a_second_publisher_is_refused_while_media_flows(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    first = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    said = await cut_off(await encoders(f"{platform.rtmp_url}/{stream.key}"))
    assert "Another encoder is publishing" in said
    assert [refused["reason"] for refused in await refusals(tenant, stream)] == ["DUPLICATE_INGEST"]
    assert first.process.returncode is None
    assert (await platform.play(stream.playback_id))["state"] == "live"


async def test_an_encoder_whose_node_died_takes_the_next_claim_at_once(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    await encoders(f"{platform.rtmp_url}/{stream.key}", persistent=True)
    first = await live_under(platform, stream, 1)
    before = kill(platform, "mist")
    await live_under(platform, stream, first + 1)
    assert children(platform)["mist"] != before
    assert await refusals(tenant, stream) == []


async def test_an_encoder_that_hung_is_taken_over_from_after_five_silent_seconds(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    hung = await encoders(f"{platform.rtmp_url}/{stream.key}")
    first = await live_under(platform, stream, 1)
    hung.process.send_signal(signal.SIGSTOP)
    await encoders(f"{platform.rtmp_url}/{stream.key}", persistent=True)
    await live_under(platform, stream, first + 1)
    assert {refused["reason"] for refused in await refusals(tenant, stream)} <= {"DUPLICATE_INGEST"}
    hung.process.send_signal(signal.SIGCONT)
    await cut_off(hung)
    await platform.live(stream.playback_id)


@everywhere
async def test_deleting_a_stream_cuts_its_publisher_off(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    assert (await tenant.graphql(DELETE, id=stream.id))["deleteStream"] == {"success": True}
    await cut_off(encoder)
    said = await cut_off(await encoders(f"{platform.rtmp_url}/{stream.key}"))
    assert "No stream has this key" in said or "deleted" in said
