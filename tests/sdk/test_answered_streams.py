"""Streams and their keys: what one path makes, the published SDK sees, and the other way round."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fixtures_answered import Client, SdkFactory, answers, make_stream
from fixtures_edge import Edge, bearer
from fixtures_platform import Encoder, Platform, Tenant, eventually
from livepeer_frameworks.errors import ResultError
from livepeer_frameworks.graphql import (
    ConnectionInput,
    CreateStreamInput,
    CreateStreamKeyInput,
    UpdateStreamInput,
)
from livepeer_frameworks.results import expect_result

from frameworks.contracts.pb import commodore_v1_pb2 as commodore

Encoders = Callable[..., Awaitable[Encoder]]


async def known(platform: Platform, tenant: Tenant, stream_id: str) -> list[Any]:
    """What Commodore says of a stream: one message, or none."""
    request = commodore.GetStreamsRequest(ids=[stream_id])
    found = await platform.commodore.GetStreams(request, metadata=bearer(tenant.access_token))
    return list(found.streams)


async def keys_of(platform: Platform, tenant: Tenant, stream_id: str) -> dict[str, bool]:
    """The keys Commodore has for a stream, and whether each works."""
    request = commodore.ListStreamKeysRequest(stream_id=stream_id)
    found = await platform.commodore.ListStreamKeys(request, metadata=bearer(tenant.access_token))
    return {key.key: key.active for key in found.keys}


async def verdict(edge: Edge, key: str) -> str:
    """What an edge is told when an encoder brings `key`: empty when it may publish."""
    request = commodore.AdmitPublishRequest(
        stream_key=key, protocol="RTMP", boot_id="boot-1", connection_id="one", trigger_id=key[-12:]
    )
    found = await edge.platform.commodore.AdmitPublish(request, metadata=edge.credential("commodore"))
    return "" if found.admitted else str(found.reason)


async def validity(fw: Client, key: str) -> str:
    """What the SDK says of a key."""
    found = (await fw.get_validate_stream_key(key)).validate_stream_key
    assert found is not None
    return found.status.value


@answers("ServerInfo")
async def test_the_server_names_itself_and_what_it_can(sdk: SdkFactory) -> None:
    found = (await sdk().server_info()).server_info
    assert found.version.endswith("+frameworks-py")
    assert {"streams", "stream-keys", "viewer-routing"} <= set(found.features)
    assert "clips" not in found.features
    status = await sdk().server_status()
    assert status.version == found.version


@answers("CreateStream")
async def test_a_stream_made_by_the_sdk_takes_an_encoder(
    platform: Platform, tenant: Tenant, sdk: SdkFactory, encoders: Encoders
) -> None:
    answer = await sdk(tenant).create_stream(
        CreateStreamInput(name="By SDK", description="first", record=True)
    )
    made = expect_result(answer.create_stream, "Stream")
    (kept,) = await known(platform, tenant, made.stream_id)
    assert (kept.title, kept.description, kept.recording_enabled) == ("By SDK", "first", True)
    await encoders(f"{platform.rtmp_url}/{made.stream_key}")
    assert (await platform.live(made.playback_id))["title"] == "By SDK"


@answers("UpdateStream")
async def test_an_update_changes_what_is_named_and_nothing_else(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    made = await make_stream(platform, tenant, "Before")
    answer = await sdk(tenant).update_stream(made.id, UpdateStreamInput(description="after"))
    assert expect_result(answer.update_stream, "Stream").name == "Before"
    (kept,) = await known(platform, tenant, made.id)
    assert (kept.title, kept.description, kept.playback_id) == ("Before", "after", made.playback_id)
    await sdk(tenant).update_stream(made.id, UpdateStreamInput(name="After", record=True))
    (kept,) = await known(platform, tenant, made.id)
    assert (kept.title, kept.description, kept.recording_enabled) == ("After", "after", True)


@answers("DeleteStream")
async def test_a_deleted_stream_is_gone_and_its_encoder_is_cut_off(
    platform: Platform, tenant: Tenant, sdk: SdkFactory, encoders: Encoders
) -> None:
    made = await make_stream(platform, tenant, "To go")
    encoder = await encoders(f"{platform.rtmp_url}/{made.key}")
    await platform.live(made.playback_id)
    answer = await sdk(tenant).delete_stream(made.id)
    assert expect_result(answer.delete_stream, "DeleteSuccess").deleted_id == made.id
    assert await known(platform, tenant, made.id) == []
    await encoder.ended()
    with pytest.raises(ResultError, match="no such stream"):
        expect_result((await sdk(tenant).delete_stream(made.id)).delete_stream, "DeleteSuccess")


@answers("GetStream")
async def test_a_stream_is_read_with_all_its_settings(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    made = await make_stream(platform, tenant, "Read me")
    found = (await sdk(tenant).get_stream(made.id)).stream
    assert found is not None
    assert (found.stream_id, found.name, found.playback_id) == (made.id, "Read me", made.playback_id)
    request = commodore.UpdateStreamRequest(id=made.id, title="Read again")
    await platform.commodore.UpdateStream(request, metadata=bearer(tenant.access_token))
    again = (await sdk(tenant).get_stream(found.id)).stream
    assert again is not None
    assert again.name == "Read again"
    assert again.updated_at > found.updated_at


@answers("ListStreams")
async def test_streams_are_listed_page_by_page_and_searched(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    made = [await make_stream(platform, tenant, f"Show {n}") for n in range(2)]
    await make_stream(platform, tenant, "Other")
    fw = sdk(tenant)
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (
            await fw.list_streams(ConnectionInput(first=1, after=after), search="Show")
        ).streams_connection
        seen += [stream.stream_id for stream in page.nodes]
        if not page.page_info.has_next_page:
            break
        after = page.page_info.end_cursor
    assert seen == [stream.id for stream in reversed(made)]
    assert (await fw.list_streams()).streams_connection.total_count == 3
    await platform.commodore.DeleteStream(
        commodore.DeleteStreamRequest(id=made[0].id), metadata=bearer(tenant.access_token)
    )
    assert (await fw.list_streams()).streams_connection.total_count == 2


@answers("GetStreamKey", "RefreshStreamKey", "GetValidateStreamKey")
async def test_a_refreshed_key_replaces_the_old_one(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    edge, fw = await Edge.join(platform, tenant), sdk(tenant)
    made = await make_stream(platform, tenant, "Keyed")
    before = (await fw.get_stream_key(made.id)).stream
    assert before is not None
    assert before.stream_key == made.key
    assert await validity(fw, made.key) == "VALID"
    answer = await fw.refresh_stream_key(made.id)
    fresh = expect_result(answer.refresh_stream_key, "Stream").stream_key
    assert fresh != made.key
    after = (await fw.get_stream_key(made.id)).stream
    assert after is not None
    assert after.stream_key == fresh
    assert await validity(fw, made.key) == "INVALID"
    assert await validity(fw, fresh) == "VALID"
    assert await verdict(edge, made.key) != ""
    assert await verdict(edge, fresh) == ""


@answers("CreateStreamKey", "ListStreamKeys", "DeleteStreamKey")
async def test_a_second_key_publishes_until_it_is_deleted(
    platform: Platform, tenant: Tenant, sdk: SdkFactory
) -> None:
    edge, fw = await Edge.join(platform, tenant), sdk(tenant)
    made = await make_stream(platform, tenant, "Two keys")
    answer = await fw.create_stream_key(made.id, CreateStreamKeyInput(name="Backup"))
    backup = expect_result(answer.create_stream_key, "StreamKey")
    assert await keys_of(platform, tenant, made.id) == {made.key: True, backup.key_value: True}
    assert await verdict(edge, backup.key_value) == ""

    listed = (await fw.list_stream_keys(made.id)).stream_keys_connection
    assert {key.key_value: key.key_name for key in listed.nodes}[backup.key_value] == "Backup"
    assert listed.total_count == 2

    expect_result((await fw.delete_stream_key(made.id, backup.id)).delete_stream_key, "DeleteSuccess")
    assert (await keys_of(platform, tenant, made.id))[backup.key_value] is False
    assert await verdict(edge, backup.key_value) != ""

    async def forgotten() -> bool:
        listed = (await fw.list_stream_keys(made.id)).stream_keys_connection
        return {key.key_value: key.is_active for key in listed.nodes} == {
            made.key: True,
            backup.key_value: False,
        }

    await eventually(forgotten, what="the key is listed as inactive")
