"""Limits on a running platform: a plan's viewers and bitrate hold, and a suspension ends what is on air at once."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from fixtures_http import http_client
from fixtures_platform import Encoder, Platform, Stream, Tenant, eventually
from flow_processes import children
from flow_viewer import Viewer

from frameworks.contracts.pb import purser_v1_pb2 as purser
from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceStub

Encoders = Callable[..., Awaitable[Encoder]]

REFUSED = "{ refusedIngestsConnection(page: {first: 10}) { nodes { streamId reason message protocol } } }"
ROTATE = "mutation($id: ID!) { refreshStreamKey(id: $id) { ... on Stream { streamKey } } }"
SIX_MEGABITS = (
    *("-b:v", "6M", "-minrate", "6M", "-maxrate", "6M", "-bufsize", "1M"),
    *("-x264-params", "nal-hrd=cbr:filler=1"),
)
"""Twice the plan, most of it padding: cheap to encode."""


async def suspend(platform: Platform, tenant: Tenant, *, suspended: bool = True) -> None:
    stub = platform.host.peer(PurserServiceStub, service="cli")
    await stub.SetSuspension(
        purser.SetSuspensionRequest(tenant_id=tenant.tenant_id, suspended=suspended, reason="Unpaid.")
    )


async def on_air(platform: Platform, tenant: Tenant, encoders: Encoders, **options: Any) -> Stream:
    """A stream that can be watched."""
    stream = await tenant.stream()
    await encoders(f"{platform.rtmp_url}/{stream.key}", **options)
    await platform.live(stream.playback_id)
    return stream


async def refusals(tenant: Tenant) -> list[dict[str, Any]]:
    """All of a tenant's refused publishers."""
    found: list[dict[str, Any]] = (await tenant.graphql(REFUSED))["refusedIngestsConnection"]["nodes"]
    return found


async def state(platform: Platform, stream: Stream, wanted: str) -> None:
    """Wait for what `/play` says of a stream."""

    async def said() -> bool:
        return bool((await platform.play(stream.playback_id))["state"] == wanted)

    await eventually(said, what=f"{wanted}")


async def test_the_streams_of_a_tenant_share_its_viewers_and_another_tenant_is_not_touched(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    one, two = await on_air(platform, tenant, encoders), await on_air(platform, tenant, encoders)
    other = await on_air(platform, await platform.tenant(), encoders)
    url = (await platform.play(two.playback_id))["primary"]["url"]
    async with Viewer(platform, one.playback_id) as first, Viewer(platform, one.playback_id) as second:
        await first.progress()
        await second.progress()
        async with Viewer(platform, two.playback_id) as third:
            await third.progress()
            await state(platform, one, "full")
            await state(platform, two, "full")
            async with http_client(timeout=10.0) as client:
                assert (await client.get(url)).status_code == 403
            async with Viewer(platform, other.playback_id) as elsewhere:
                await elsewhere.progress()
        await state(platform, two, "live")


async def test_an_encoder_that_sends_more_than_the_plan_is_cut_off_and_its_owner_reads_why(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}", extra=SIX_MEGABITS)
    await encoder.ended(within=60.0)
    again = await encoders(f"{platform.rtmp_url}/{stream.key}")
    assert "Your plan allows 3,000 kbit/s" in await again.ended()

    async def written() -> list[dict[str, Any]]:
        return await refusals(tenant)

    (refused,) = await eventually(written, what="the reason")
    assert (refused["reason"], refused["protocol"]) == ("BITRATE_LIMIT", "RTMP")
    assert "Your plan allows 3,000 kbit/s; your encoder sent" in refused["message"]


async def test_a_suspension_ends_a_live_publisher_and_its_viewers_and_a_lifted_one_lets_them_back(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await on_air(platform, tenant, encoders, persistent=True)
    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress()
        await suspend(platform, tenant)
        await state(platform, stream, "offline")
        assert "TENANT_SUSPENDED" in {refused["reason"] for refused in await eventually_refused(tenant)}
        await suspend(platform, tenant, suspended=False)
        await state(platform, stream, "live")
        await viewer.progress()


async def eventually_refused(tenant: Tenant) -> list[dict[str, Any]]:
    """The refusals, once there is one."""
    found: list[dict[str, Any]] = await eventually(lambda: refusals(tenant), what="a refusal")
    return found


async def test_a_rotated_key_stops_its_publisher_and_not_the_one_with_the_new_key(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    old = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    fresh = (await tenant.graphql(ROTATE, id=stream.id))["refreshStreamKey"]["streamKey"]
    await old.ended()
    new = await encoders(f"{platform.rtmp_url}/{fresh}")
    await platform.live(stream.playback_id)
    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress(12)
    assert new.process.returncode is None


async def test_an_encoder_that_comes_back_over_a_dead_connection_is_not_refused(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    hung = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    hung.process.send_signal(signal.SIGSTOP)
    back = await encoders(f"{platform.rtmp_url}/{stream.key}")
    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress(12)
    assert back.process.returncode is None
    assert await refusals(tenant) == []
    hung.process.send_signal(signal.SIGCONT)
    await hung.ended()


async def test_a_node_whose_process_hangs_is_out_at_once_and_back_by_itself(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await on_air(platform, tenant, encoders)
    node = children(platform)["mist"]
    os.kill(node, signal.SIGSTOP)
    try:
        await state(platform, stream, "offline")
    finally:
        os.kill(node, signal.SIGCONT)
    await state(platform, stream, "live")
