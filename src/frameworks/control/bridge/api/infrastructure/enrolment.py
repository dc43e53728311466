"""How a tenant's own node joins: a cluster, a token, and an identity for the node."""

import json
import re
from typing import Any

from ariadne import MutationType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.infrastructure.clusters import cluster_row
from frameworks.control.bridge.api.scalars import at, instant
from frameworks.control.bridge.domain import NotOffered, global_id, local_id
from frameworks.kit.clock import random_text
from frameworks.kit.errors import Refusal
from frameworks.kit.identity import key_text, new_key, public_jwk

Row = dict[str, Any]

mutation = MutationType()

BINDABLES = [mutation]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class BadLifetime(Refusal):
    """A life for a token that is not written as one."""

    code = "bridge.bad_lifetime"


def token_row(found: pb.EnrollmentToken) -> Row:
    """A token that lets one node join."""
    return {
        "id": global_id("BootstrapToken", found.id),
        "name": found.name,
        "token": found.token,
        "kind": "edge_node",
        "clusterId": found.cluster_id,
        "usageLimit": 1,
        "usageCount": 0,
        "expiresAt": instant(found.expires_at),
        "createdAt": at(found.created_at),
    }


@mutation.field("createEdgeCluster")
async def create_edge_cluster(_: Any, info: GraphQLResolveInfo, *, input: Row) -> Row:
    if input.get("controlClusterId"):
        raise NotOffered("A cluster's control services can not be chosen here.", field="controlClusterId")
    here = context.of(info)
    request = pb.CreateEdgeClusterRequest(
        name=input["clusterName"], short_description=input.get("shortDescription") or ""
    )
    answer = await here.peers.quartermaster.CreateEdgeCluster(request, metadata=here.metadata)
    return {
        "__typename": "CreateEdgeClusterResponse",
        "cluster": cluster_row(answer.cluster),
        "bootstrapToken": token_row(answer.token),
        "foghornAddr": here.settings.foghorn_address,
    }


@mutation.field("createEnrollmentToken")
async def create_enrolment_token(
    _: Any, info: GraphQLResolveInfo, *, clusterId: str, name: str | None = None, ttl: str | None = None
) -> Row:
    here = context.of(info)
    request = pb.CreateEnrollmentTokenRequest(
        cluster_id=local_id("Cluster", clusterId), name=name or "", ttl_seconds=seconds(ttl) if ttl else 0
    )
    answer = await here.peers.quartermaster.CreateEnrollmentToken(request, metadata=here.metadata)
    return {"__typename": "CreateEnrollmentTokenResponse", "bootstrapToken": token_row(answer)}


@mutation.field("bootstrapEdge")
async def bootstrap_edge(_: Any, info: GraphQLResolveInfo, *, input: Row) -> Row:
    """Enrol a node that brought no key: it is made here, and kept nowhere but in the answer."""
    here = context.of(info)
    key = new_key()
    node = input.get("preferredNodeId") or f"edge-{random_text(10)}"
    request = pb.EnrollNodeRequest(
        token=input["token"], node_id=node, public_key=json.dumps(public_jwk(key), sort_keys=True), name=node
    )
    answer = await here.peers.quartermaster.EnrollNode(request)
    return {
        "__typename": "BootstrapEdgeResponse",
        "nodeId": answer.node_id,
        "edgeDomain": here.settings.edge_domain,
        "clusterSlug": answer.cluster_id,
        "clusterId": answer.cluster_id,
        "foghornGrpcAddr": here.settings.foghorn_address,
        "certPem": answer.certificate,
        "keyPem": key_text(key),
        "telemetry": {"enabled": False},
    }


def seconds(text: str) -> int:
    """A life such as `24h` or `1h30m` in seconds; raises BadLifetime."""
    if not re.fullmatch(r"(\d{1,6}[smhd])+", text):
        raise BadLifetime("Write a life such as 30m, 24h or 7d.", field="ttl")
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)([smhd])", text))
