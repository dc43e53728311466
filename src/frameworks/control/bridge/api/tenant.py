"""The caller: its tenant, itself, and the names and ports it streams with."""

from typing import Any
from urllib.parse import urlsplit

from ariadne import MutationType, QueryType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.scalars import at, text
from frameworks.control.bridge.domain import NotOffered, global_id
from frameworks.kit.identity import PrincipalKind

Row = dict[str, Any]

query = QueryType()
mutation = MutationType()

BINDABLES = [query, mutation]

BRANDING = {
    "subdomain": "subdomain",
    "logoUrl": "logo_url",
    "primaryColor": "primary_color",
    "secondaryColor": "secondary_color",
}


def tenant_row(found: pb.Tenant) -> Row:
    """A tenant."""
    return {
        "__typename": "Tenant",
        "id": global_id("Tenant", found.id),
        "name": found.name,
        "subdomain": text(found.subdomain),
        "cluster": text(found.primary_cluster_id),
        "createdAt": at(found.created_at),
        "customDomain": text(found.custom_domain),
        "monitoringEnabled": False,
    }


@query.field("tenant")
async def resolve_tenant(_: Any, info: GraphQLResolveInfo) -> Row:
    here = context.of(info)
    # Asked as Bridge: every caller may know its own tenant, whatever its scopes.
    request = pb.GetTenantRequest(tenant_id=str(here.caller.principal.tenant))
    return tenant_row(await here.peers.quartermaster.GetTenant(request))


@mutation.field("updateTenant")
async def update_tenant(_: Any, info: GraphQLResolveInfo, *, input: Row) -> Row:
    if input.get("monitoringEnabled"):
        raise NotOffered("Nothing here raises incidents yet.", field="monitoringEnabled")
    here = context.of(info)
    request = pb.UpdateTenantRequest(**changes(input))
    return tenant_row(await here.peers.quartermaster.UpdateTenant(request, metadata=here.metadata))


def changes(given: Row) -> dict[str, str]:
    """The fields an UpdateTenantInput changes; raises NotOffered for settings nobody knows."""
    found = {
        ours: given[theirs]
        for theirs, ours in (("name", "name"), ("customDomain", "custom_domain"))
        if given.get(theirs) is not None
    }
    settings = given.get("settings")
    if settings is None:
        return found
    if not isinstance(settings, dict):
        raise NotOffered("`settings` is an object.", field="settings")
    for name, value in settings.items():
        if name not in BRANDING or not isinstance(value, str):
            raise NotOffered(f"There is no setting `{name[:40]}` with such a value.", field="settings")
        found[BRANDING[name]] = value
    return found


@query.field("streamingConfig")
async def resolve_streaming_config(_: Any, info: GraphQLResolveInfo) -> Row:
    here = context.of(info)
    clusters = await usable_clusters(here)
    preferred = next((c for c in clusters if c.preferred), clusters[0] if clusters else None)
    host = (urlsplit(preferred.base_url).hostname if preferred else None) or here.settings.edge_domain
    return {
        "preferredClusterLabel": preferred.name if preferred else None,
        "ingestDomain": host,
        "edgeDomain": host,
        "playDomain": host,
        "globalEdgeDomain": here.settings.edge_domain,
        "globalIngestDomain": here.settings.edge_domain,
        "globalPlayDomain": here.settings.edge_domain,
        "rtmpPort": here.settings.rtmp_port,
    }


async def usable_clusters(here: context.Context) -> list[pb.Cluster]:
    """Clusters the tenant may use; none for callers who may not know them, for whom the defaults do."""
    if not here.caller.may("infrastructure:read"):
        return []
    request = pb.ListClusterAccessRequest(page=pb.Page(first=100))
    answer = await here.peers.quartermaster.ListClusterAccess(request, metadata=here.metadata)
    return [access.cluster for access in answer.access]


@query.field("me")
async def resolve_me(_: Any, info: GraphQLResolveInfo) -> Row:
    here = context.of(info)
    caller = here.caller
    user = None
    if caller.principal.kind is PrincipalKind.USER:
        user = await here.peers.commodore.GetMe(commodore.GetMeRequest(), metadata=here.metadata)
    return {
        "user": user_row(user) if user else None,
        "tenant": await resolve_tenant(None, info),
        "role": user.role if user else "token",
        "scopes": sorted(caller.principal.scopes),
        "isOperator": caller.is_operator,
    }


def user_row(user: commodore.User) -> Row:
    """A person."""
    return {
        "id": global_id("User", user.id),
        "email": user.email,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "isVerified": user.verified,
        "createdAt": at(user.created_at),
    }
