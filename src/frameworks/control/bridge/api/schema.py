"""The executable schema: SDL from `schema/`, resolvers by domain, a guard on each field `access` names."""

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ariadne import QueryType, make_executable_schema
from ariadne.types import SchemaBindable
from graphql import (
    GraphQLEnumType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    default_field_resolver,
    get_named_type,
)

from frameworks.control.bridge.api import (
    access,
    console,
    history,
    infrastructure,
    live,
    pipeline,
    playback,
    streams,
    tenant,
    tokens,
)
from frameworks.control.bridge.api.outcome import answering
from frameworks.control.bridge.api.scalars import SCALARS

SDL = Path(__file__).parent.parent / "schema"

FEATURES = (
    "streams",
    "stream-keys",
    "playback",
    "viewer-routing",
    "viewer-protocol-selection",
    "developer-tokens",
    "edge-clusters",
    "enrollment-tokens",
    "nodes",
    "sovereign-self-host",
    "graphql-playground",
)
"""Slugs of what exists here; clients turn features on by them."""

_query = QueryType()


@_query.field("serverInfo")
def resolve_server_info(*_: Any) -> dict[str, Any]:
    # A bare N.N.N would be compared with the versions of another product; a suffix says "not that product".
    return {"version": f"{version('frameworks')}+frameworks-py", "features": list(FEATURES)}


def read_sdl() -> str:
    """The contract as text."""
    return "\n".join(path.read_text() for path in sorted(SDL.glob("*.graphql")))


@cache
def build() -> GraphQLSchema:
    """The schema, ready to execute, built once; raises ValueError when a root field has no resolver or no rule."""
    bindables: list[SchemaBindable] = [_query, *SCALARS]
    for domain in (streams, tokens, playback, tenant, infrastructure, history, live, console, pipeline):
        bindables += domain.BINDABLES
    schema = make_executable_schema(read_sdl(), *bindables)
    _restore_enums(schema)
    _guard(schema)
    return schema


def _restore_enums(schema: GraphQLSchema) -> None:
    """Undo Ariadne's wrapper of `parse_value`: graphql-core calls it with an argument that the wrapper lacks."""
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLEnumType):
            vars(kind).pop("parse_value", None)


def _guard(schema: GraphQLSchema) -> None:
    for name, rule in access.ACCESS.items():
        kind, _, field_name = name.partition(".")
        parent = schema.type_map[kind]
        assert isinstance(parent, GraphQLObjectType)
        field = parent.fields[field_name]
        if kind == "Subscription" and field.subscribe is not None:
            field.subscribe = access.guarded_source(rule, field.subscribe)
            continue
        field.resolve = access.guarded(rule, field.resolve or default_field_resolver)
        if isinstance(get_named_type(field.type), GraphQLUnionType):
            field.resolve = answering(field.resolve)
    _check_roots(schema)


def _check_roots(schema: GraphQLSchema) -> None:
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        assert root is not None
        for name, field in root.fields.items():
            answered = field.subscribe if root is schema.subscription_type else field.resolve
            if f"{root.name}.{name}" not in access.ACCESS or answered is None:
                raise ValueError(f"{root.name}.{name} has no rule, or nobody answers it")
