"""Streams, keys and API tokens of Commodore through RPC, each seen by its own tenant only."""

import re

import pytest
from fixtures_control import ControlPlane, Member

from frameworks.contracts.ids import INTERNAL_NAME, PLAYBACK_ID, STREAM_KEY
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.contracts.pb import purser_v1_pb2 as purser_pb
from frameworks.kit.clock import micros
from frameworks.kit.errors import Fault, Forbidden, NotFound, Precondition, Refusal, Unauthenticated


async def _stream(member: Member, title: str = "Morning show") -> pb.Stream:
    return await member.caller.commodore.CreateStream(pb.CreateStreamRequest(title=title))


async def _token(member: Member, *scopes: str, expires_at: int = 0) -> pb.ApiToken:
    request = pb.CreateApiTokenRequest(name="robot", scopes=scopes, expires_at=expires_at)
    return await member.caller.commodore.CreateApiToken(request)


async def _exchanged(control: ControlPlane, value: str) -> str:
    request = pb.ExchangeApiTokenRequest(api_token=value)
    return (await control.service("bridge").commodore.ExchangeApiToken(request)).token


async def test_a_stream_has_three_names_and_a_key(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    assert PLAYBACK_ID.fullmatch(stream.playback_id)
    assert STREAM_KEY.fullmatch(stream.stream_key)
    assert stream.internal_name == ""
    assert stream.claim_state == "idle"
    assert stream.tenant_id == member.tenant
    (seen,) = (
        await control.service("foghorn").commodore.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))
    ).streams
    assert INTERNAL_NAME.fullmatch(seen.internal_name)
    assert seen.stream_key == ""


async def test_a_stream_key_is_not_in_the_database_in_clear(control: ControlPlane) -> None:
    stream = await _stream(await control.member())
    async with control.db.directory() as c:
        values = [row["value"] for row in await c.fetch("SELECT value FROM commodore.directory")]
    assert stream.stream_key not in values


async def test_the_plan_limits_the_number_of_streams(control: ControlPlane) -> None:
    member = await control.member()
    for number in range(3):
        await _stream(member, f"Stream {number}")
    with pytest.raises(Precondition) as caught:
        await _stream(member, "One too many")
    assert caught.value.code == "commodore.stream_limit"


async def test_a_suspended_tenant_makes_no_streams(control: ControlPlane) -> None:
    member = await control.member()
    request = purser_pb.SetSuspensionRequest(tenant_id=member.tenant, suspended=True, reason="Unpaid.")
    await control.service("cli").purser.SetSuspension(request)
    with pytest.raises(Precondition) as caught:
        await _stream(member)
    assert caught.value.code == "commodore.suspended"


async def test_only_what_is_given_is_changed(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    update = pb.UpdateStreamRequest(id=stream.id, description="Every day")
    changed = await member.caller.commodore.UpdateStream(update)
    assert (changed.title, changed.description) == (stream.title, "Every day")
    assert changed.updated_at >= stream.updated_at


async def test_another_tenant_can_do_nothing_with_a_stream(control: ControlPlane) -> None:
    owner, other = await control.member(), await control.member()
    stream = await _stream(owner)
    key_id = await _key_id(owner, stream.id)
    theirs = other.caller.commodore
    assert not (await theirs.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    assert not (await theirs.GetStreams(pb.GetStreamsRequest(playback_ids=[stream.playback_id]))).streams
    assert (await theirs.ListStreams(pb.ListStreamsRequest())).ends.total == 0
    assert not (
        await theirs.ValidateStreamKey(pb.ValidateStreamKeyRequest(stream_key=stream.stream_key))
    ).valid
    for attempt in (
        theirs.UpdateStream(pb.UpdateStreamRequest(id=stream.id, title="Mine")),
        theirs.DeleteStream(pb.DeleteStreamRequest(id=stream.id)),
        theirs.RotateStreamKey(pb.RotateStreamKeyRequest(id=stream.id)),
        theirs.CreateStreamKey(pb.CreateStreamKeyRequest(stream_id=stream.id, name="x")),
        theirs.DeactivateStreamKey(pb.DeactivateStreamKeyRequest(stream_id=stream.id, key_id=key_id)),
        theirs.ListStreamKeys(pb.ListStreamKeysRequest(stream_id=stream.id)),
        theirs.ListRefusedIngests(pb.ListRefusedIngestsRequest(stream_id=stream.id)),
    ):
        with pytest.raises(NotFound):
            await attempt
    (still,) = (await owner.caller.commodore.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    assert still == stream


async def _key_id(member: Member, stream_id: str) -> str:
    page = await member.caller.commodore.ListStreamKeys(pb.ListStreamKeysRequest(stream_id=stream_id))
    return page.keys[0].id


async def test_pages_walk_every_stream_once_in_both_directions(control: ControlPlane) -> None:
    member = await control.member()
    made = []
    for number in range(3):
        made.append((await _stream(member, f"Stream {number}")).id)
        await control.clock.advance(0.001)
    forward, cursor = [], ""
    while True:
        page = pb.Page(first=1, after=cursor)
        answer = await member.caller.commodore.ListStreams(pb.ListStreamsRequest(page=page))
        forward += [stream.id for stream in answer.streams]
        cursor = answer.cursors[-1]
        if not answer.ends.has_next:
            break
    assert forward == made[::-1]
    back = pb.Page(last=2, before=cursor)
    answer = await member.caller.commodore.ListStreams(pb.ListStreamsRequest(page=back))
    assert [stream.id for stream in answer.streams] == forward[:2]
    assert answer.ends.has_next
    assert not answer.ends.has_previous
    assert answer.ends.total == 3


async def test_pages_lose_no_stream_made_in_the_same_instant(control: ControlPlane) -> None:
    member = await control.member()
    made = {(await _stream(member, f"Stream {number}")).id for number in range(3)}
    first = await member.caller.commodore.ListStreams(pb.ListStreamsRequest(page=pb.Page(first=2)))
    rest = pb.Page(first=2, after=first.cursors[-1])
    second = await member.caller.commodore.ListStreams(pb.ListStreamsRequest(page=rest))
    assert {stream.id for stream in (*first.streams, *second.streams)} == made


async def test_a_cursor_of_another_tenant_is_refused(control: ControlPlane) -> None:
    owner, other = await control.member(), await control.member()
    await _stream(owner)
    await _stream(other)
    cursor = (await owner.caller.commodore.ListStreams(pb.ListStreamsRequest())).cursors[0]
    request = pb.ListStreamsRequest(page=pb.Page(first=1, after=cursor))
    with pytest.raises(Refusal) as caught:
        await other.caller.commodore.ListStreams(request)
    assert caught.value.code == "page.invalid"


async def test_search_finds_titles_descriptions_and_playback_ids(control: ControlPlane) -> None:
    member = await control.member()
    request = pb.CreateStreamRequest(title="Evening 100%_news", description="Weather and sports")
    stream = await member.caller.commodore.CreateStream(request)
    await _stream(member, "Other")
    for text in ("EVENING", "100%_", "sports", stream.playback_id):
        page = await member.caller.commodore.ListStreams(pb.ListStreamsRequest(search=text))
        assert [each.id for each in page.streams] == [stream.id]
        assert page.ends.total == 1
    assert not (await member.caller.commodore.ListStreams(pb.ListStreamsRequest(search="x%"))).streams


async def test_rotating_replaces_the_key_and_ends_the_old_one(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    mine = member.caller.commodore
    rotated = await mine.RotateStreamKey(pb.RotateStreamKeyRequest(id=stream.id))
    assert rotated.stream_key != stream.stream_key
    old = await mine.ValidateStreamKey(pb.ValidateStreamKeyRequest(stream_key=stream.stream_key))
    assert (old.valid, old.reason) == (False, "KEY_INACTIVE")
    assert (await mine.ValidateStreamKey(pb.ValidateStreamKeyRequest(stream_key=rotated.stream_key))).valid


async def test_a_stream_has_several_named_keys(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    mine = member.caller.commodore
    await control.clock.advance(0.001)
    backup = await mine.CreateStreamKey(pb.CreateStreamKeyRequest(stream_id=stream.id, name="Backup"))
    assert (
        await mine.ValidateStreamKey(pb.ValidateStreamKeyRequest(stream_key=backup.key))
    ).stream.id == stream.id
    page = await mine.ListStreamKeys(pb.ListStreamKeysRequest(stream_id=stream.id))
    assert [(key.name, key.active, key.key) for key in page.keys] == [
        ("Backup", True, backup.key),
        ("Main", True, stream.stream_key),
    ]
    await mine.DeactivateStreamKey(pb.DeactivateStreamKeyRequest(stream_id=stream.id, key_id=page.keys[1].id))
    (left,) = (await mine.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    assert left.stream_key == backup.key


async def test_a_deleted_stream_and_its_key_are_gone(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    mine = member.caller.commodore
    await mine.DeleteStream(pb.DeleteStreamRequest(id=stream.id))
    assert not (await mine.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    validity = await mine.ValidateStreamKey(pb.ValidateStreamKeyRequest(stream_key=stream.stream_key))
    assert validity.reason == "INVALID_KEY"
    with pytest.raises(NotFound):
        await mine.DeleteStream(pb.DeleteStreamRequest(id=stream.id))


async def test_an_id_that_is_none_names_nothing(control: ControlPlane) -> None:
    mine = (await control.member()).caller.commodore
    assert not (await mine.GetStreams(pb.GetStreamsRequest(ids=["x"], playback_ids=["y"]))).streams
    with pytest.raises(NotFound):
        await mine.DeleteStream(pb.DeleteStreamRequest(id="x"))


async def test_ensuring_a_stream_makes_it_once(control: ControlPlane) -> None:
    member, cli = await control.member(), control.service("cli").commodore
    request = pb.EnsureStreamRequest(tenant_id=member.tenant, title="Demo")
    first, second = await cli.EnsureStream(request), await cli.EnsureStream(request)
    assert first == second
    assert STREAM_KEY.fullmatch(first.stream_key)


async def test_a_token_without_writing_does_not_see_the_key(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    token = await _token(member, "streams:read")
    assert re.fullmatch(r"fw_[a-z0-9]{16}_[a-z0-9]{40}", token.value)
    reader = control.holding(await _exchanged(control, token.value)).commodore
    (seen,) = (await reader.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    assert seen.stream_key == ""
    with pytest.raises(Forbidden):
        await reader.ListStreamKeys(pb.ListStreamKeysRequest(stream_id=stream.id))
    with pytest.raises(Forbidden):
        await reader.CreateStream(pb.CreateStreamRequest(title="x"))


async def test_writing_includes_reading(control: ControlPlane) -> None:
    member = await control.member()
    stream = await _stream(member)
    writer = control.holding(
        await _exchanged(control, (await _token(member, "streams:write")).value)
    ).commodore
    (seen,) = (await writer.GetStreams(pb.GetStreamsRequest(ids=[stream.id]))).streams
    assert seen.stream_key == stream.stream_key


async def test_a_token_is_shown_once_and_listed_without_its_value(control: ControlPlane) -> None:
    member, other = await control.member(), await control.member()
    token = await _token(member, "analytics:read")
    page = await member.caller.commodore.ListApiTokens(pb.ListApiTokensRequest())
    assert [(each.id, each.value, each.status) for each in page.tokens] == [(token.id, "", "active")]
    assert not (await other.caller.commodore.ListApiTokens(pb.ListApiTokensRequest())).tokens
    with pytest.raises(NotFound):
        await other.caller.commodore.RevokeApiToken(pb.RevokeApiTokenRequest(id=token.id))


async def test_a_revoked_token_opens_nothing(control: ControlPlane) -> None:
    member = await control.member()
    token = await _token(member, "streams:read")
    await member.caller.commodore.RevokeApiToken(pb.RevokeApiTokenRequest(id=token.id))
    with pytest.raises(Unauthenticated):
        await _exchanged(control, token.value)
    (listed,) = (await member.caller.commodore.ListApiTokens(pb.ListApiTokensRequest())).tokens
    assert listed.status == "revoked"


async def test_an_expired_token_opens_nothing_and_says_so(control: ControlPlane) -> None:
    member = await control.member()
    expires_at = micros(control.clock.now()) + 60_000_000
    token = await _token(member, "streams:read", expires_at=expires_at)
    assert await _exchanged(control, token.value)
    await control.clock.advance(60)
    with pytest.raises(Unauthenticated):
        await _exchanged(control, token.value)
    (listed,) = (await member.caller.commodore.ListApiTokens(pb.ListApiTokensRequest())).tokens
    assert listed.status == "expired"
    assert listed.last_used_at


@pytest.mark.parametrize("value", ["", "fw_x_y", "fw_" + "a" * 16 + "_" + "b" * 40, "sk_" + "a" * 32])
async def test_what_is_no_token_opens_nothing(control: ControlPlane, value: str) -> None:
    with pytest.raises(Unauthenticated):
        await _exchanged(control, value)


async def test_a_wrong_secret_opens_nothing(control: ControlPlane) -> None:
    token = await _token(await control.member(), "streams:read")
    with pytest.raises(Unauthenticated):
        await _exchanged(control, token.value[:-1] + ("a" if token.value[-1] != "a" else "b"))


@pytest.mark.parametrize("scopes", [[], ["everything"], ["account:write"]])
async def test_a_token_can_not_ask_for_more_than_there_is(control: ControlPlane, scopes: list[str]) -> None:
    with pytest.raises(Refusal):
        await _token(await control.member(), *scopes)


async def test_only_bridge_exchanges_tokens(control: ControlPlane) -> None:
    member = await control.member()
    token = await _token(member, "streams:read")
    for caller in (control.public(), member.caller, control.service("foghorn")):
        with pytest.raises(Fault):
            await caller.commodore.ExchangeApiToken(pb.ExchangeApiTokenRequest(api_token=token.value))
