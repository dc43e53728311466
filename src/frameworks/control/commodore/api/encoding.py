"""Messages of Commodore from domain values, and ids and windows from messages."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.commodore.domain.accounts import Invalid, User
from frameworks.control.commodore.domain.admission import Admission, RefusedIngest
from frameworks.control.commodore.domain.streams import KeptStream, Key, Stream
from frameworks.control.commodore.domain.tokens import ApiToken
from frameworks.control.commodore.service.admission import Renewed
from frameworks.control.commodore.service.resolution import IngestTarget, Playback
from frameworks.control.commodore.service.sessions import Session
from frameworks.kit.errors import NotFound
from frameworks.kit.identity import PrincipalKind
from frameworks.kit.paging import Paged, Window, window
from frameworks.kit.rpc import Call
from frameworks.kit.wire import to_message

Open = Callable[[UUID, bytes], str]


def identity(text: str, missing: type[NotFound]) -> UUID:
    """An id; what is no id names nothing, so it raises `missing`."""
    try:
        return UUID(text)
    except ValueError as error:
        raise missing("There is no such thing.") from error


def tenant_id(text: str) -> UUID:
    """A tenant's id; raises Invalid."""
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid("Name the tenant by its id.", field="tenant_id") from error


def asked(page: pb.Page, call: Call, name: str) -> Window:
    """The window of the caller's list `name`."""
    return window(page, f"{call.tenant}:commodore.{name}")


def ends(page: Paged[Any]) -> pb.PageEnds:
    """Whether there is more."""
    return pb.PageEnds(has_next=page.has_next, has_previous=page.has_previous, total=page.total)


def may_read_keys(call: Call) -> bool:
    """Whether the caller may see stream keys."""
    return "streams:write" in call.principal.scopes


def stream(kept: KeptStream, call: Call, open_key: Open) -> pb.Stream:
    """A stream's message: the key for those who may write streams, the internal name for services only."""
    key = kept.key
    value = open_key(key.id, key.sealed) if key is not None and may_read_keys(call) else ""
    return _stream(kept.stream, call, stream_key=value)


def stream_with_key(kept: KeptStream, open_key: Open) -> pb.Stream:
    """A stream's message with its key, for the command line."""
    value = open_key(kept.key.id, kept.key.sealed) if kept.key else ""
    return to_message(pb.Stream, kept.stream, stream_key=value)


def _stream(found: Stream, call: Call, **over: str) -> pb.Stream:
    if call.principal.kind is not PrincipalKind.SERVICE:
        over["internal_name"] = ""
    return to_message(pb.Stream, found, **over)


def key(found: Key, open_key: Open) -> pb.StreamKey:
    """A key's message, with its value."""
    return to_message(pb.StreamKey, found, key=open_key(found.id, found.sealed))


def user(found: User) -> pb.User:
    """A user's message."""
    return to_message(pb.User, found)


def session(opened: Session) -> pb.Session:
    """A session's message."""
    return to_message(pb.Session, opened)


def api_token(found: ApiToken, value: str = "") -> pb.ApiToken:
    """An API token's message; its value only when it was made just now."""
    return to_message(pb.ApiToken, found, value=value)


def refused(found: RefusedIngest) -> pb.RefusedIngest:
    """A refused publisher's message."""
    return to_message(pb.RefusedIngest, found)


def admission(decided: Admission) -> pb.Admission:
    """The answer to a node about a publisher."""
    return to_message(pb.Admission, decided)


def renewed(claim: Renewed) -> pb.RenewedClaim:
    """The answer to a node about a publisher it has."""
    return to_message(pb.RenewedClaim, claim)


def playback(found: Playback) -> pb.Playback:
    """A stream as those who serve it need it."""
    return to_message(
        pb.Playback,
        found.stream,
        stream_id=found.stream.id,
        max_viewers=found.max_viewers,
        suspended=found.suspended,
        cluster_ids=list(found.cluster_ids),
        attribution=found.attribution,
        attribution_expires_at=found.attribution_expires_at,
    )


def ingest_target(found: IngestTarget) -> pb.IngestTarget:
    """Where a publisher should go."""
    return to_message(pb.IngestTarget, found)
