"""Calls of the command line."""

from frameworks.contracts.audit_trail import caller
from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.api import encoding
from frameworks.control.commodore.service.bootstrap import Bootstrap
from frameworks.control.commodore.service.streams import Streams
from frameworks.kit.rpc import Call


class BootstrapCalls:
    """Makes sure that a user or a stream exists."""

    def __init__(self, bootstrap: Bootstrap, streams: Streams) -> None:
        self._bootstrap = bootstrap
        self._streams = streams

    async def EnsureUser(self, request: pb.EnsureUserRequest, call: Call) -> pb.User:
        """A confirmed owner with this password."""
        user = await self._bootstrap.ensure_user(
            request.email,
            request.password,
            first_name=request.first_name,
            last_name=request.last_name,
            operator=request.operator,
            by=caller(call),
        )
        return encoding.user(user)

    async def EnsureStream(self, request: pb.EnsureStreamRequest, call: Call) -> pb.Stream:
        """The tenant's stream of this title, with its key."""
        kept = await self._streams.ensure(encoding.tenant_id(request.tenant_id), request.title)
        return encoding.stream_with_key(kept, self._streams.value)
