"""Tenants, clusters, nodes, enrolment and service instances: their shape and the rules they keep."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from frameworks.kit.errors import Conflict, Forbidden, Kind, NotFound, Precondition, Refusal

TOKEN_PREFIX = "bt_"
TOKEN_LIFETIME = timedelta(hours=24)
LONGEST_TOKEN_LIFETIME = timedelta(days=7)
SHARED_PRIORITY = 100
OWNED_PRIORITY = 10
NODE_TYPES = frozenset({"media"})
CAPABILITIES = frozenset({"ingest", "edge"})
INSTANCE_STATUSES = frozenset({"starting", "running", "stopping", "stopped", "failed"})
INSTANCE_HEALTHS = frozenset({"healthy", "unhealthy", "unknown"})


class Invalid(Refusal):
    """A value that is not of the form it should have; `field` names it."""

    code: ClassVar[str] = "quartermaster.invalid"


class NoSuchTenant(NotFound):
    """No such tenant."""

    code = "quartermaster.no_tenant"


class NoSuchCluster(NotFound):
    """No such cluster, or not one this tenant may see."""

    code = "quartermaster.no_cluster"


class NoSuchNode(NotFound):
    """No such node, or not one of this tenant's."""

    code = "quartermaster.no_node"


class NotOwner(Forbidden):
    """Only the owner of a cluster may do this."""

    code = "quartermaster.not_owner"


class NotEntitled(Forbidden):
    """The tenant may not be served by this cluster."""

    code = "quartermaster.not_entitled"


class TooManyClusters(Precondition):
    """The tenant owns as many clusters as it may."""

    code = "quartermaster.too_many_clusters"


class Taken(Conflict):
    """A name that is unique belongs to somebody already."""

    code = "quartermaster.taken"


class BadEnrollment(Refusal):
    """An enrolment token that is unknown, expired or used; the answer is the same for all of them."""

    kind = Kind.UNAUTHENTICATED
    code = "quartermaster.bad_enrollment"


class NodeTaken(Conflict):
    """The node id is enrolled with another key, cluster or owner."""

    code = "quartermaster.node_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant and how it wants to look."""

    id: UUID
    name: str
    subdomain: str = ""
    custom_domain: str = ""
    logo_url: str = ""
    primary_color: str = "#6366f1"
    secondary_color: str = "#f59e0b"
    deployment_tier: str = "global-shared"
    deployment_model: str = "shared"
    primary_cluster_id: str = ""
    active: bool = True
    operator: bool = False
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster as one tenant sees it (`owned`, `preferred`)."""

    id: str
    name: str
    type: str
    owner_tenant_id: UUID
    deployment_model: str
    base_url: str = ""
    region: str = ""
    default_cluster: bool = False
    visibility: str = "private"
    health: str = "unhealthy"
    max_streams: int = 0
    max_viewers: int = 0
    max_bandwidth_bps: int = 0
    active: bool = True
    created_at: datetime
    updated_at: datetime
    node_count: int = 0
    healthy_nodes: int = 0
    short_description: str = ""
    owned: bool = False
    preferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """That a tenant may be served by a cluster, and since when."""

    cluster: Cluster
    access_level: str
    granted_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node says of itself."""

    region: str = ""
    base_url: str = ""
    rtmp_url: str = ""
    latitude: float = 0.0
    longitude: float = 0.0
    cpu_cores: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    version: str = ""
    capabilities: tuple[str, ...] = ("edge", "ingest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node, the cluster it is bound to, and what it last said of itself."""

    id: str
    name: str
    cluster_id: str
    owner_tenant_id: UUID
    type: str
    status: str
    region: str
    base_url: str
    rtmp_url: str
    latitude: float
    longitude: float
    cpu_cores: int
    memory_bytes: int
    disk_bytes: int
    version: str
    capabilities: tuple[str, ...]
    last_heartbeat_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """An enrolment token as it is kept: never the token itself."""

    id: UUID
    cluster_id: str
    name: str
    expires_at: datetime
    created_at: datetime
    used_at: datetime | None = None
    node_id: str = ""
    public_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInstance:
    """A running copy of a service, as it last reported."""

    id: str
    service: str
    cluster_id: str
    node_id: str = ""
    address: str = ""
    protocol: str = "grpc"
    status: str = "running"
    health: str = "unknown"
    version: str = ""
    started_at: datetime | None = None
    last_seen_at: datetime | None = None
    port: int = 0


def admit_enrollment(found: Enrollment | None, node_id: str, public_key: str, now: datetime) -> bool:
    """Whether the token is to be consumed (False: a replay by the node that used it); raises BadEnrollment."""
    if found is None:
        raise BadEnrollment("This enrolment token is not valid.")
    if found.used_at is not None:
        if (found.node_id, found.public_key) == (node_id, public_key):
            return False
        raise BadEnrollment("This enrolment token is not valid.")
    if found.expires_at <= now:
        raise BadEnrollment("This enrolment token is not valid.")
    return True


def cluster_health(nodes: int, healthy: int) -> str:
    """A cluster is healthy while all its nodes are, and unhealthy when none is."""
    if healthy == 0:
        return "unhealthy"
    return "healthy" if healthy == nodes else "degraded"


def public_key(text: str) -> str:
    """The canonical form of an Ed25519 public JWK, nothing private in it; raises Invalid."""
    try:
        jwk = json.loads(text)
        x = jwk["x"] if jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519" else ""
        raw = base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as error:
        raise Invalid("Send the node's public key as an Ed25519 JWK.", field="public_key") from error
    if len(raw) != 32:
        raise Invalid("Send the node's public key as an Ed25519 JWK.", field="public_key")
    canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return json.dumps({"crv": "Ed25519", "kty": "OKP", "x": canonical}, sort_keys=True)


def node_id(text: str) -> str:
    """A node id; raises Invalid."""
    if not _NODE_ID.fullmatch(text):
        raise Invalid(
            "A node id has 1 to 63 characters of a-z, 0-9, '-' and '.', and starts with a letter or digit.",
            field="node_id",
        )
    return text


def title(text: str, *, field: str = "name", longest: int = 100) -> str:
    """A name people read: trimmed, on one line; raises Invalid."""
    said = " ".join(text.split())
    if not said or len(said) > longest or not said.isprintable():
        raise Invalid(f"The {field} must have 1 to {longest} printable characters.", field=field)
    return said


def facts(given: NodeFacts) -> NodeFacts:
    """Facts a node may claim; raises Invalid."""
    for field in ("base_url", "rtmp_url"):
        _url(getattr(given, field), field, {"http", "https"} if field == "base_url" else {"rtmp", "rtmps"})
    if not (-90 <= given.latitude <= 90 and -180 <= given.longitude <= 180):
        raise Invalid("The position is not on this planet.", field="latitude")
    if max(len(given.region), len(given.version)) > 100 or "\0" in given.region + given.version:
        raise Invalid("The region and version have at most 100 characters.", field="region")
    if max(given.memory_bytes, given.disk_bytes) >= 1 << 63 or given.cpu_cores >= 1 << 31:
        raise Invalid("No machine is that large.", field="memory_bytes")
    if not CAPABILITIES.issuperset(given.capabilities) or len(given.capabilities) > len(CAPABILITIES):
        raise Invalid(f"A node's capabilities are among {sorted(CAPABILITIES)}.", field="capabilities")
    return given


def tenant_changes(given: Mapping[str, str]) -> dict[str, str]:
    """The changes a tenant may make to itself, checked; raises Invalid."""
    checked: dict[str, str] = {}
    for field, text in given.items():
        value = text.strip()
        match field:
            case "name":
                checked[field] = title(value)
            case "primary_color" | "secondary_color":
                checked[field] = _matching(_COLOR, value.lower(), field, "a colour such as #6366f1")
            case "subdomain":
                checked[field] = value and _matching(
                    _SUBDOMAIN, value.lower(), field, "3 to 40 of a-z, 0-9 and '-'"
                )
            case "custom_domain":
                checked[field] = value and _matching(_DOMAIN, value.lower(), field, "a host name")
            case "logo_url":
                checked[field] = _url(value, field, {"https", "http"})
            case _:
                raise Invalid(f"{field} can not be changed.", field=field)
    return checked


def instance(given: ServiceInstance) -> ServiceInstance:
    """An instance as it may be registered; raises Invalid."""
    for field in ("id", "service", "cluster_id"):
        if not _PLAIN.fullmatch(getattr(given, field)):
            raise Invalid(f"The instance's {field} has 1 to 100 plain characters.", field=field)
    for field in ("node_id", "address", "protocol", "version"):
        if len(getattr(given, field)) > 255 or "\0" in getattr(given, field):
            raise Invalid(f"The instance's {field} is too long.", field=field)
    if given.status not in INSTANCE_STATUSES or given.health not in INSTANCE_HEALTHS or given.port > 65_535:
        raise Invalid("The instance's status, health or port is unknown.", field="status")
    return given


_NODE_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_COLOR = re.compile(r"#[0-9a-f]{6}")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
_DOMAIN = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,99}")


def _matching(pattern: re.Pattern[str], value: str, field: str, form: str) -> str:
    if not pattern.fullmatch(value):
        raise Invalid(f"The {field.replace('_', ' ')} must be {form}.", field=field)
    return value


def _url(value: str, field: str, schemes: set[str]) -> str:
    if not value:
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in schemes and bool(parts.hostname) and len(value) <= 500 and value.isprintable()
    except ValueError:
        good = False
    if not good:
        raise Invalid(
            f"The {field.replace('_', ' ')} must be a URL ({' or '.join(sorted(schemes))}).", field=field
        )
    return value
