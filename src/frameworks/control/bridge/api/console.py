"""What the console asks beyond the SDK: why publishing was refused."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from ariadne import ObjectType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.scalars import at, text
from frameworks.control.bridge.domain import BadPage, global_id, uuid_id

Row = dict[str, Any]

query = QueryType()
stream = ObjectType("Stream")

BINDABLES = [query, stream]


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of a page cut from a list that is here as a whole."""

    has_next: bool
    has_previous: bool
    total: int


async def refused(info: GraphQLResolveInfo, stream_id: str, limit: int) -> list[pb.RefusedIngest]:
    """The latest refused publish attempts, newest first."""
    here = context.of(info)
    request = pb.ListRefusedIngestsRequest(stream_id=stream_id, limit=limit)
    answer = await here.peers.commodore.ListRefusedIngests(request, metadata=here.metadata)
    return list(answer.refused)


def refused_row(found: pb.RefusedIngest) -> Row:
    """A publish attempt that was refused."""
    return {
        "id": global_id("RefusedIngest", found.id),
        "streamId": text(found.stream_id),
        "reason": found.reason,
        "message": found.message,
        "protocol": found.protocol,
        "nodeId": text(found.node_id),
        "keyFingerprint": text(found.key_fingerprint),
        "refusedAt": at(found.refused_at),
    }


@query.field("refusedIngestsConnection")
async def resolve_refused(
    _: Any, info: GraphQLResolveInfo, *, streamId: str | None = None, page: Row | None = None
) -> Row:
    asked = relay.page(pb.Page(), page)
    if asked.last or asked.before:
        raise BadPage("This list is read forwards only.", field="page")
    found = await refused(info, uuid_id("Stream", streamId) if streamId else "", relay.MAX_ROWS)
    older = [r for r in found if not asked.after or _place(r) < _decode(asked.after)]
    rows = older[: asked.first]
    ends = Ends(len(older) > len(rows), len(older) < len(found), len(found))
    return relay.connection([refused_row(r) for r in rows], [_cursor(r) for r in rows], ends)


def _place(row: pb.RefusedIngest) -> tuple[int, str]:
    return row.refused_at, row.id


def _cursor(row: pb.RefusedIngest) -> str:
    return base64.urlsafe_b64encode(f"{row.refused_at}|{row.id}".encode()).decode()


def _decode(cursor: str) -> tuple[int, str]:
    try:
        at, _, row = base64.urlsafe_b64decode(cursor).decode().partition("|")
        return int(at), row
    except (ValueError, binascii.Error) as error:
        raise BadPage("This cursor is not one of ours.", field="page") from error


@stream.field("refusedIngests")
async def resolve_stream_refused(
    source: Row, info: GraphQLResolveInfo, *, first: int | None = None
) -> list[Row]:
    limit = min(max(first or 20, 1), relay.MAX_ROWS)
    return [refused_row(r) for r in await refused(info, source["streamId"], limit)]
