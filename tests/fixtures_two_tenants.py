"""Two tenants and every call one could make with the other's identifiers, generated from the contracts themselves."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from fixtures_answered import Made, make_stream
from fixtures_edge import Edge, bearer, quartermaster_of
from fixtures_platform import Platform, Tenant, eventually
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from frameworks.contracts.pb import commodore_v1_pb2 as commodore
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster
from frameworks.kit.clock import random_text

DEEPEST = 4
NAMESPACES = frozenset({"Analytics", "AnalyticsInfra", "AnalyticsUsage", "AnalyticsUsageStreaming"}) | {
    "AnalyticsLifecycle",
    "AnalyticsHealth",
    "AnalyticsUsageStorage",
    "AnalyticsUsageApi",
}
"""Types that only group fields: each field below them is walked on its own."""
NO_SECRET = "not-the-secret"


@dataclass
class Victim:
    """A tenant with one of everything, each marked so that it is known wherever it turns up."""

    mark: str
    tenant: Tenant
    stream: Made
    edge: Edge
    ids: dict[str, str] = field(default_factory=dict)
    admission: commodore.Admission | None = None
    """Its claim of the stream, once it has one."""

    @property
    def markers(self) -> set[str]:
        """Strings that only an answer about this tenant can hold."""
        known = {self.mark, self.tenant.tenant_id, self.tenant.user_id, self.tenant.email}
        return known | set(self.ids.values())

    def leaks(self, answer: str, asked: str = "") -> set[str]:
        """What of this tenant stands in `answer` that the question did not hold already."""
        return {marker for marker in self.markers if marker in answer and marker not in asked}


async def make_victim(platform: Platform) -> Victim:
    """Tenant A: a stream with two keys, a token, a cluster, a node, an instance, and a history."""
    mark, tenant = f"mark{random_text(10)}", await platform.tenant()
    edge = await Edge.join(platform, tenant, name=f"{mark} cluster")
    stream = await make_stream(platform, tenant, f"{mark} stream")
    victim = Victim(mark, tenant, stream, edge)
    mine = bearer(tenant.access_token)
    key = await platform.commodore.CreateStreamKey(
        commodore.CreateStreamKeyRequest(stream_id=stream.id, name=f"{mark} key"), metadata=mine
    )
    token = await platform.commodore.CreateApiToken(
        commodore.CreateApiTokenRequest(name=f"{mark} token", scopes=["streams:read"]), metadata=mine
    )
    await quartermaster_of(platform).UpdateTenant(
        quartermaster.UpdateTenantRequest(name=f"{mark} tenant"), metadata=mine
    )
    await edge.report(region=mark)
    instance = await edge.report_instance("mist", status="running", health="healthy", version=mark)
    playback = await edge.resolve(stream.playback_id)
    victim.ids |= {"stream": stream.id, "key": stream.key, "playback": stream.playback_id}
    victim.ids |= {"second_key": key.key, "key_id": key.id, "token_id": token.id, "token": token.value}
    victim.ids |= {"cluster": edge.cluster_id, "node": edge.node_id, "instance": instance}
    victim.ids |= {"internal": playback.internal_name}
    # Whoever holds a stream key may publish with it: it is a proof, so a stranger has another one.
    victim.ids["no_key"] = f"sk_{random_text(32)}"
    await _tell(victim, playback.attribution)
    await eventually(lambda: _is_told(platform, victim), what="the victim's history")
    return victim


async def _tell(victim: Victim, view: str) -> None:
    """A history: a viewer, a start, a measurement of the node."""
    edge, stream, mark = victim.edge, victim.stream.id, victim.mark
    admission = victim.admission = victim.admission or await edge.admit(victim.stream.key)
    came = events.UserConnection(action="connect", session_id=mark, connector="HLS", user_agent=mark)
    came.place.CopyFrom(events.Place(country="DE", city=mark))
    left = events.UserConnection()
    left.CopyFrom(came)
    left.action, left.seconds, left.up_bytes = "disconnect", 60, 1_000_000
    for payload in (came, left):
        await edge.publish(edge.event("user-connection", payload, stream_id=stream), attribution=view)
    for name, said in (
        ("stream-lifecycle", events.StreamLifecycle(state="started", detail=mark)),
        ("stream-buffer", events.StreamBuffer(state="DRY", buffer_ms=1)),
        ("track-list", events.TrackList(tracks=[events.Track(name=mark, type="video", codec="H264")])),
        ("stream-metrics", events.StreamMetrics(viewers=2, bitrate_kbps=900, health_score=50)),
    ):
        event = edge.event(name, said, stream_id=stream, epoch=admission.claim_epoch)
        await edge.publish(event, attribution=admission.attribution)
    await edge.publish(edge.event("node-lifecycle", events.NodeLifecycle(state="up", version=mark)))


async def tell_again(victim: Victim) -> None:
    """More of the same history, in every channel."""
    playback = await victim.edge.resolve(victim.stream.playback_id)
    await _tell(victim, playback.attribution)


async def _is_told(platform: Platform, victim: Victim) -> bool:
    """The history has arrived and its buckets are rolled up."""
    found = await victim.tenant.post("{ analytics { overview { egressGb uniqueViewers } } }")
    overview = (found.get("data") or {}).get("analytics", {}).get("overview") or {}
    return bool(overview.get("egressGb"))


def hours() -> dict[str, str]:
    """The last two hours."""
    now = datetime.now(UTC)
    return {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}


@dataclass(frozen=True)
class GraphqlCall:
    """One operation with the victim's identifiers."""

    kind: str
    path: str
    document: str
    variables: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All that was asked."""
        return self.document + json.dumps(self.variables)


def graphql_calls(schema: GraphQLSchema, victim: Victim) -> Iterator[GraphqlCall]:
    """Every root field and every field of its namespaces: once with all arguments, once with the required ones."""
    roots = {
        "query": schema.query_type,
        "mutation": schema.mutation_type,
        "subscription": schema.subscription_type,
    }
    for kind, root in roots.items():
        for name, found in root.fields.items() if root else ():
            for path, leaf in _leaves((name,), found):
                for full in (True, False):
                    yield _call(kind, path, leaf, victim, full=full)


def _leaves(path: tuple[str, ...], found: GraphQLField) -> Iterator[tuple[tuple[str, ...], GraphQLField]]:
    kind = get_named_type(found.type)
    if isinstance(kind, GraphQLObjectType) and kind.name in NAMESPACES:
        for name, inner in kind.fields.items():
            yield from _leaves((*path, name), inner)
    else:
        yield path, found


def _call(kind: str, path: tuple[str, ...], leaf: GraphQLField, victim: Victim, *, full: bool) -> GraphqlCall:
    given = {n: a for n, a in leaf.args.items() if full or is_non_null_type(a.type)}
    variables = {n: _argument(path[-1], n, a.type, victim) for n, a in given.items()}
    declared = ", ".join(f"${n}: {a.type}" for n, a in given.items())
    passed = ", ".join(f"{n}: ${n}" for n in given)
    body = path[-1] + (f"({passed})" if passed else "") + _selection(get_named_type(leaf.type), 0)
    for outer in reversed(path[:-1]):
        body = f"{outer} {{ {body} }}"
    head = f"{kind} Walk" + (f"({declared})" if declared else "")
    return GraphqlCall(kind, ".".join(path), f"{head} {{ {body} }}", variables)


def _selection(kind: Any, depth: int) -> str:
    """Every field of a type, down to `DEEPEST`; fields that need an argument are left out."""
    if is_leaf_type(kind):
        return ""
    if isinstance(kind, GraphQLUnionType):
        members = " ".join(f"... on {t.name} {_selection(t, depth)}" for t in kind.types)
        return f" {{ __typename {members} }}"
    chosen = []
    for name, found in kind.fields.items():
        inner = get_named_type(found.type)
        needs = any(is_non_null_type(a.type) for a in found.args.values())
        repeats = name in ("edges", "stream") and depth > 0
        if not needs and not repeats and (is_leaf_type(inner) or depth < DEEPEST):
            chosen.append(name + _selection(inner, depth + 1))
    return " { " + (" ".join(chosen) or "__typename") + " }"


BY_FIELD = {
    ("cluster", "id"): "cluster",
    ("revokeDeveloperToken", "id"): "token_id",
    ("resolveIngestEndpoint", "streamKey"): "no_key",
}
BY_NAME = {
    "clusterId": "cluster",
    "streamId": "stream",
    "id": "stream",
    "keyId": "key_id",
    "nodeId": "node",
    "streamKey": "key",
    "contentId": "playback",
}


def _argument(parent: str, name: str, kind: Any, victim: Victim) -> Any:
    if is_non_null_type(kind):
        return _argument(parent, name, kind.of_type, victim)
    if name == "subjectTenantId":
        return victim.tenant.tenant_id
    if (key := BY_FIELD.get((parent, name), BY_NAME.get(name))) is not None:
        return victim.ids[key]
    if name == "timeRange":
        return hours()
    if name == "page":
        return {"first": 20}
    if is_list_type(kind):
        return []
    if is_enum_type(kind):
        return next(iter(kind.values))
    if is_input_object_type(kind):
        return _input(parent, kind, victim)
    return {"Int": 5, "Float": 1.5, "Boolean": True}.get(kind.name, _word(parent, name))


def _input(parent: str, kind: Any, victim: Victim) -> dict[str, Any]:
    return {
        name: _argument(parent, name, inner.type, victim)
        for name, inner in kind.fields.items()
        if is_non_null_type(inner.type)
    }


def _word(parent: str, name: str) -> str | None:
    if name in ("type", "serviceId"):
        return "mist"
    return {"token": NO_SECRET, "ttl": "1h", "interval": "5m"}.get(name, f"b {parent[:20]}")


MESSAGE_IDS = {"RevokeApiTokenRequest": "token_id", "CreateTenantRequest": "tenant"}
MESSAGE_FIELDS = {
    "id": "stream",
    "ids": "stream",
    "stream_id": "stream",
    "stream_ids": "stream",
    "playback_id": "playback",
    "playback_ids": "playback",
    "internal_name": "internal",
    "live": "internal",
    "stream_key": "key",
    "key_id": "key_id",
    "cluster_id": "cluster",
    "node_id": "node",
    "instance_id": "instance",
}


def request_of(kind: type[Message], victim: Victim, depth: int = 0) -> Any:
    """A request that names the victim's things wherever it can."""
    request = kind()
    for spec in kind.DESCRIPTOR.fields:
        value = _value(kind.DESCRIPTOR.name, spec, victim, depth)
        if value is None:
            continue
        if spec.is_repeated:
            getattr(request, spec.name).append(value)
        elif spec.message_type is not None:
            getattr(request, spec.name).CopyFrom(value)
        else:
            setattr(request, spec.name, value)
    return request


def _value(message: str, spec: Any, victim: Victim, depth: int) -> Any:
    if spec.message_type is not None:
        if depth > 2 or spec.message_type.GetOptions().map_entry:
            return None
        return request_of(GetMessageClass(cast("Any", spec.message_type)), victim, depth + 1)
    if spec.type != FieldDescriptor.TYPE_STRING:
        return None
    if spec.name == "tenant_id":
        return victim.tenant.tenant_id
    if spec.name == "email":
        return victim.tenant.email
    key = MESSAGE_IDS.get(message) if spec.name == "id" else None
    found = victim.ids.get(key or MESSAGE_FIELDS.get(spec.name, ""))
    if found is not None:
        return found
    return NO_SECRET if spec.name in ("password", "current_password", "token", "api_token", "proof") else None


def numbers(answer: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of an answer, with where it stands."""
    if isinstance(answer, dict):
        for name, inner in answer.items():
            yield from numbers(inner, f"{path}.{name}")
    elif isinstance(answer, list):
        for inner in answer:
            yield from numbers(inner, path)
    elif isinstance(answer, int | float) and not isinstance(answer, bool):
        yield path, answer
