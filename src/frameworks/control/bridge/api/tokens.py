"""API tokens of the tenant."""

import re
from datetime import timedelta
from typing import Any

from ariadne import MutationType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.bridge.api import context, relay
from frameworks.control.bridge.api.scalars import instant, text
from frameworks.control.bridge.api.streams import deleted
from frameworks.control.bridge.domain import global_id, uuid_id
from frameworks.kit.clock import micros
from frameworks.kit.errors import Refusal

Row = dict[str, Any]

query = QueryType()
mutation = MutationType()

BINDABLES = [query, mutation]

DEFAULT_SCOPES = ("streams:read",)
LONGEST_LIFE_DAYS = 3650


class BadLifetime(Refusal):
    """A token that would live no time at all, or for ever and a day."""

    code = "bridge.bad_lifetime"


def token_row(found: pb.ApiToken) -> Row:
    """An API token; its secret only when it was just made."""
    return {
        "__typename": "DeveloperToken",
        "id": global_id("DeveloperToken", found.id),
        "tokenName": found.name,
        "tokenValue": text(found.value),
        "permissions": list(found.scopes),
        "status": found.status,
        "lastUsedAt": instant(found.last_used_at),
        "expiresAt": instant(found.expires_at),
        "createdAt": instant(found.created_at),
    }


@query.field("developerTokensConnection")
async def resolve_tokens(_: Any, info: GraphQLResolveInfo, *, page: Row | None = None) -> Row:
    here = context.of(info)
    request = pb.ListApiTokensRequest(page=relay.page(pb.Page(), page))
    answer = await here.peers.commodore.ListApiTokens(request, metadata=here.metadata)
    return relay.connection([token_row(t) for t in answer.tokens], answer.cursors, answer.ends)


@mutation.field("createDeveloperToken")
async def create_token(_: Any, info: GraphQLResolveInfo, *, input: Row) -> Row:
    here = context.of(info)
    days = input.get("expiresIn")
    if days is not None and not 1 <= days <= LONGEST_LIFE_DAYS:
        raise BadLifetime(f"A token lives 1 to {LONGEST_LIFE_DAYS} days.", field="expiresIn")
    request = pb.CreateApiTokenRequest(
        name=input["name"],
        scopes=scopes(input.get("permissions")),
        expires_at=micros(here.clock.now() + timedelta(days=days)) if days else 0,
    )
    return token_row(await here.peers.commodore.CreateApiToken(request, metadata=here.metadata))


@mutation.field("revokeDeveloperToken")
async def revoke_token(_: Any, info: GraphQLResolveInfo, *, id: str) -> Row:
    here = context.of(info)
    request = pb.RevokeApiTokenRequest(id=uuid_id("DeveloperToken", id))
    await here.peers.commodore.RevokeApiToken(request, metadata=here.metadata)
    return deleted(id)


def scopes(text: str | None) -> list[str]:
    """Scopes written with commas or spaces between, each once; `DEFAULT_SCOPES` when none is named."""
    named = dict.fromkeys(part for part in re.split(r"[,\s]+", text or "") if part)
    return list(named) or list(DEFAULT_SCOPES)
