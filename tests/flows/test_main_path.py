"""The main path on real input: an encoder, a viewer, numbers that move."""

from collections.abc import Awaitable, Callable

from fixtures_platform import Encoder, Platform, Tenant, eventually
from flow_processes import everywhere
from flow_viewer import Viewer

Encoders = Callable[..., Awaitable[Encoder]]
METRICS = (
    "query($id: ID!) { stream(id: $id) { metrics { status currentViewers downloadedBytes primaryWidth } } }"
)

pytestmark = everywhere


async def test_a_stream_is_live_while_it_is_pushed(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream("My stream")
    assert (await platform.play(stream.playback_id))["state"] == "offline"
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}")
    answer = await platform.live(stream.playback_id)
    assert answer["primary"]["url"].startswith(platform.url("media"))
    await encoder.stop()

    async def offline() -> bool:
        return bool((await platform.play(stream.playback_id))["state"] == "offline")

    await eventually(offline, what="offline")


async def test_a_viewer_is_a_number_on_the_streams_page(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)

    async def watched() -> bool:
        metrics = (await tenant.graphql(METRICS, id=stream.id))["stream"]["metrics"]
        return bool(
            (metrics["status"], metrics["currentViewers"], metrics["primaryWidth"]) == ("LIVE", 1, 640)
        )

    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress()
        await eventually(watched, what="one viewer")


async def test_running_services_are_discovered(platform: Platform, tenant: Tenant) -> None:
    asked = '{ discoverServicesConnection(type: "foghorn") { nodes { serviceId status } } }'

    async def found() -> bool:
        nodes = (await tenant.graphql(asked))["discoverServicesConnection"]["nodes"]
        return {"serviceId": "foghorn", "status": "RUNNING"} in nodes

    await eventually(found, what="Foghorn in the registry")
