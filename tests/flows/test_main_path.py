"""The main path on real input: an encoder, a viewer, numbers that move."""

from fixtures_platform import Platform, Tenant, eventually

CREATE = "mutation($input: CreateStreamInput!) { createStream(input: $input) { ... on Stream { id streamId name streamKey playbackId } } }"


async def test_the_demo_stream_can_be_watched(platform: Platform) -> None:
    answer = await platform.live(platform.facts["playback_id"])
    assert answer["primary"]["url"].startswith(platform.url("media"))


async def test_a_stream_is_live_while_it_is_pushed(platform: Platform, tenant: Tenant, encoders) -> None:  # type: ignore[no-untyped-def]
    made = (await tenant.graphql(CREATE, input={"name": "My stream"}))["createStream"]
    assert (await platform.play(made["playbackId"]))["state"] == "offline"
    encoder = await encoders(f"{platform.rtmp_url}/{made['streamKey']}")
    await platform.live(made["playbackId"])
    await encoder.stop()

    async def offline() -> bool:
        return (await platform.play(made["playbackId"]))["state"] == "offline"

    await eventually(offline, what="offline")
