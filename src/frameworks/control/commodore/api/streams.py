"""Calls about streams and their keys."""

from uuid import UUID

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.api import encoding
from frameworks.control.commodore.domain.accounts import Invalid
from frameworks.control.commodore.domain.streams import KeptStream, NoSuchKey, NoSuchStream
from frameworks.control.commodore.service.admission import Admissions
from frameworks.control.commodore.service.streams import Streams
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.rpc import Call

MOST_STREAMS = 500


class StreamCalls:
    """The streams of the caller's tenant."""

    def __init__(self, streams: Streams, admissions: Admissions) -> None:
        self._streams = streams
        self._admissions = admissions

    async def CreateStream(self, request: pb.CreateStreamRequest, call: Call) -> pb.Stream:
        """A new stream with a key."""
        kept = await self._streams.create(
            call.tenant,
            name=request.title,
            about=request.description,
            recording=request.recording_enabled,
            by=caller(call),
        )
        return self._shown(kept, call)

    async def UpdateStream(self, request: pb.UpdateStreamRequest, call: Call) -> pb.Stream:
        """Change what is given."""
        kept = await self._streams.update(
            call.tenant,
            _stream_id(request.id),
            name=request.title if request.HasField("title") else None,
            about=request.description if request.HasField("description") else None,
            recording=request.recording_enabled if request.HasField("recording_enabled") else None,
            by=caller(call),
        )
        return self._shown(kept, call)

    async def DeleteStream(self, request: pb.DeleteStreamRequest, call: Call) -> pb.Done:
        """Delete a stream."""
        await self._streams.delete(call.tenant, _stream_id(request.id), by=caller(call))
        return pb.Done()

    async def GetStreams(self, request: pb.GetStreamsRequest, call: Call) -> pb.Streams:
        """The named streams of the caller's tenant, those that exist; services may name any tenant's."""
        if len(request.ids) + len(request.playback_ids) > MOST_STREAMS:
            raise Invalid(f"Name at most {MOST_STREAMS} streams.", field="ids")
        ids = [UUID(each) for each in request.ids if _is_id(each)]
        if call.principal.kind is PrincipalKind.SERVICE:
            found = await self._streams.of_any_tenant(ids, list(request.playback_ids))
        else:
            found = await self._streams.some(call.tenant, ids, list(request.playback_ids))
        return pb.Streams(streams=[self._shown(kept, call) for kept in found])

    async def ListStreams(self, request: pb.ListStreamsRequest, call: Call) -> pb.StreamPage:
        """The streams of the caller's tenant."""
        page = await self._streams.page(
            call.tenant, encoding.asked(request.page, call, "streams"), request.search
        )
        return pb.StreamPage(
            streams=[self._shown(kept, call) for kept in page.rows],
            cursors=page.cursors,
            ends=encoding.ends(page),
        )

    async def RotateStreamKey(self, request: pb.RotateStreamKeyRequest, call: Call) -> pb.Stream:
        """Replace the main key."""
        kept = await self._streams.rotate_key(call.tenant, _stream_id(request.id), by=caller(call))
        return self._shown(kept, call)

    async def CreateStreamKey(self, request: pb.CreateStreamKeyRequest, call: Call) -> pb.StreamKey:
        """Another key of a stream."""
        stream_id = _stream_id(request.stream_id)
        key = await self._streams.add_key(call.tenant, stream_id, request.name, by=caller(call))
        return encoding.key(key, self._streams.value)

    async def DeactivateStreamKey(self, request: pb.DeactivateStreamKeyRequest, call: Call) -> pb.Done:
        """End a key."""
        key_id = encoding.identity(request.key_id, NoSuchKey)
        stream_id = _stream_id(request.stream_id)
        await self._streams.deactivate_key(call.tenant, stream_id, key_id, by=caller(call))
        return pb.Done()

    async def ListStreamKeys(self, request: pb.ListStreamKeysRequest, call: Call) -> pb.StreamKeyPage:
        """The keys of a stream."""
        stream_id = _stream_id(request.stream_id)
        window = encoding.asked(request.page, call, f"keys.{stream_id}")
        page = await self._streams.keys(call.tenant, stream_id, window)
        return pb.StreamKeyPage(
            keys=[encoding.key(key, self._streams.value) for key in page.rows],
            cursors=page.cursors,
            ends=encoding.ends(page),
        )

    async def ValidateStreamKey(self, request: pb.ValidateStreamKeyRequest, call: Call) -> pb.KeyValidity:
        """Whether a key opens one of the caller's streams; other tenants' keys are like keys nobody has."""
        found = await self._admissions.lookup(request.stream_key)
        if found is None or found[0] != call.tenant:
            return pb.KeyValidity(valid=False, reason="INVALID_KEY")
        key = found[1]
        kept = await self._streams.one(call.tenant, key.stream_id)
        return pb.KeyValidity(
            valid=key.active, reason="" if key.active else "KEY_INACTIVE", stream=self._shown(kept, call)
        )

    async def ListRefusedIngests(
        self, request: pb.ListRefusedIngestsRequest, call: Call
    ) -> pb.RefusedIngests:
        """The publishers refused lately, of one stream or of all."""
        stream_id = _stream_id(request.stream_id) if request.stream_id else None
        if stream_id is not None:
            await self._streams.one(call.tenant, stream_id)
        refused = await self._admissions.refusals(call.tenant, stream_id, request.limit)
        return pb.RefusedIngests(refused=map(encoding.refused, refused))

    def _shown(self, kept: KeptStream, call: Call) -> pb.Stream:
        return encoding.stream(kept, call, self._streams.value)


def _stream_id(text: str) -> UUID:
    return encoding.identity(text, NoSuchStream)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
