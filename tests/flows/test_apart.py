"""Services in processes of their own: what goes on while the control plane is away."""

from collections.abc import Awaitable, Callable

from fixtures_platform import Encoder, Platform, Tenant, eventually
from flow_processes import Apart, only_apart
from flow_viewer import Viewer

Encoders = Callable[..., Awaitable[Encoder]]
AWAY = ("commodore", "control", "postgres")

pytestmark = only_apart


async def test_media_goes_on_without_the_control_plane(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    assert isinstance(platform, Apart)
    stream = await tenant.stream()
    await encoders(f"{platform.rtmp_url}/{stream.key}", seconds=300)
    await platform.live(stream.playback_id)
    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress()
        for part in AWAY:
            await platform.stop_part(part)
        await viewer.progress(8)
        await platform.live(stream.playback_id)
        await platform.stop_part("foghorn")
        await platform.start_part("foghorn")
        answer = await platform.live(stream.playback_id)
        assert answer["title"] == "A stream"
        async with Viewer(platform, stream.playback_id) as late:
            await late.progress()
        await viewer.progress(8)
        assert viewer.starts == 1
        for part in reversed(AWAY):
            await platform.start_part(part)

    async def asked() -> bool:
        found = await tenant.post("{ streamsConnection { totalCount } }")
        return "errors" not in found

    await eventually(asked, within=60.0, what="the door after the control plane came back")
    assert (await platform.play(stream.playback_id))["state"] == "live"


async def test_new_publishers_wait_for_the_control_plane(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    assert isinstance(platform, Apart)
    stream = await tenant.stream()
    await platform.stop_part("commodore")
    refused = await encoders(f"{platform.rtmp_url}/{stream.key}")
    assert "Try again" in await refused.ended()
    await encoders(f"{platform.rtmp_url}/{stream.key}", persistent=True)
    await platform.start_part("commodore")
    await platform.live(stream.playback_id, within=60.0)
