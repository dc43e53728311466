"""Nothing of the platform can be reached without a rule that says by whom."""

import ast
import re
from pathlib import Path

from fixtures_surfaces import HTTP, SOURCE, http_routes, root_fields, rpc_methods, rpc_path
from fixtures_two_tenants import NAMESPACES
from graphql import (
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_non_null_type,
)

from frameworks.contracts import topics
from frameworks.contracts.pb import events_v1_pb2 as events
from frameworks.contracts.permissions import RPC
from frameworks.control.bridge.api import access
from frameworks.control.bridge.api.schema import read_sdl
from frameworks.media.helmsman.api import TriggerDoor
from frameworks.media.mist.api.app import COMMAND_PATHS
from frameworks.media.mist.outputs.http.router import CONNECTORS

SCHEMA = build_schema(read_sdl())
TENANTS_OWN = frozenset(
    {
        "Stream",
        "StreamKey",
        "StreamMetrics",
        "DeveloperToken",
        "Tenant",
        "User",
        "Me",
        "Analytics",
        "RefusedIngest",
    }
    | {
        "Cluster",
        "InfrastructureNode",
        "NodeLiveState",
        "ServiceInstance",
        "BootstrapToken",
        "PipelineStatus",
    }
)
"""Types that hold what is a tenant's or an operator's own: no public field may lead to one."""
ROOTS = frozenset({"Query", "Mutation", "Subscription"})


def reachable(start: GraphQLNamedType) -> set[str]:
    """Names of the types one can get to from `start`."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        kind = waiting.pop()
        if kind.name not in found:
            found.add(kind.name)
            if isinstance(kind, GraphQLObjectType):
                waiting += [get_named_type(field.type) for field in kind.fields.values()]
            elif isinstance(kind, GraphQLUnionType):
                waiting += kind.types
    return found


def test_every_method_has_a_rule_and_every_rule_a_method() -> None:
    assert {rpc_path(method) for method in rpc_methods()} == set(RPC)


def test_every_rule_admits_somebody() -> None:
    assert [path for path, rule in RPC.items() if not rule.kinds] == []


def test_every_root_field_has_a_rule() -> None:
    titles = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
    walked = {f"{titles[kind]}.{name}" for kind, name, _ in root_fields(SCHEMA)}
    assert walked == {name for name in access.ACCESS if name.partition(".")[0] in ROOTS}


def test_every_rule_of_a_field_names_one() -> None:
    for name in access.ACCESS:
        kind, _, field = name.partition(".")
        parent = SCHEMA.type_map[kind]
        assert isinstance(parent, GraphQLObjectType)
        assert field in parent.fields


def test_every_type_is_behind_a_rule() -> None:
    """All types are reached through root fields, so that each field below them is covered by the root's rule."""
    behind = {name for _, _, field in root_fields(SCHEMA) for name in reachable(get_named_type(field.type))}
    objects = {n for n, kind in SCHEMA.type_map.items() if isinstance(kind, GraphQLObjectType)}
    assert {name for name in objects - behind - ROOTS if not name.startswith("__")} == set()


def test_every_field_that_has_to_be_asked_for_is_walked_on_its_own() -> None:
    """What is below a root comes with it, but for fields that need an argument: those are walked one by one."""
    for name, kind in SCHEMA.type_map.items():
        if (
            isinstance(kind, GraphQLObjectType)
            and not name.startswith("__")
            and name not in ROOTS | NAMESPACES
        ):
            needing = [n for n, f in kind.fields.items() for a in f.args.values() if is_non_null_type(a.type)]
            assert needing == [], name


def test_no_public_field_leads_to_what_is_a_tenants_own() -> None:
    for _, name, field in root_fields(SCHEMA):
        if name in access.PUBLIC_FIELDS:
            assert reachable(get_named_type(field.type)) & TENANTS_OWN == set(), name


def test_every_route_is_listed_and_every_listed_route_exists() -> None:
    assert set(http_routes()) == set(HTTP)


def test_the_media_node_answers_no_paths_but_these() -> None:
    assert set(CONNECTORS) == {"cmaf", "hls"}
    assert COMMAND_PATHS == ("/api", "/api2")


def test_the_agent_hears_no_triggers_but_these() -> None:
    text = (SOURCE / "media" / "helmsman" / "api.py").read_text()
    heard = set(re.findall(r'"([A-Z_]+)": (?:publishing|viewing|outputs)\.', text))
    assert TriggerDoor.__name__ in text
    admission = {"PUSH_REWRITE", "PLAY_REWRITE"}
    assert heard == admission | {"USER_NEW", "USER_END", "STREAM_BUFFER", "STREAM_END"} | {
        "PUSH_INPUT_CLOSE",
        "LIVE_TRACK_LIST",
        "PUSH_OUT_START",
        "PUSH_END",
        "RECORDING_SEGMENT",
        "RECORDING_END",
    }


def test_every_event_type_has_roles_and_a_channel() -> None:
    fields = {field.name for field in events.Event.DESCRIPTOR.oneofs_by_name["data"].fields}
    assert {kind.field for kind in topics.EVENT_TYPES.values()} == fields
    for kind in topics.EVENT_TYPES.values():
        assert kind.roles
        assert kind.channel in topics.CHANNELS


def test_every_topic_is_written_by_its_owner_alone() -> None:
    written: dict[str, set[str]] = {}
    for path in sorted(SOURCE.glob("*/*/**/*.py")):
        service = path.relative_to(SOURCE).parts[1]
        for topic in _topics_written(path):
            written.setdefault(getattr(topics, topic), set()).add(service)
    assert written == {topic: {owner} for topic, owner in topics.OWNERS.items()}


def _topics_written(path: Path) -> set[str]:
    """The names of the topics for which a module makes records."""
    if path.is_relative_to(SOURCE / "kit"):
        return set()
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {ast.unparse(call.args[0]) for call in calls if getattr(call.func, "id", "") == "Outgoing"}
