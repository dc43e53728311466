"""Every door of the platform: gRPC methods, GraphQL root fields, HTTP routes; and who may knock at the last."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import MethodDescriptor
from graphql import GraphQLField, GraphQLSchema

from frameworks.contracts import pb
from frameworks.control.bridge.api.auth import HANDLERS

SOURCE = Path(__file__).parent.parent / "src" / "frameworks"

PUBLIC = "anyone"
CREDENTIAL = "whoever has a token, for its own tenant"
PROOF = "anyone, with a secret in the request that names the account"
TELEMETRY = "anyone, with a token that says whose stream it is: what is reported is the owner's alone"
LOOPBACK = "programs of this machine"
DEMO = "anyone, in the demo alone: every mail of the demo is for everyone to read"

HTTP: dict[str, str] = {
    "bridge /graphql": CREDENTIAL,
    "bridge /graphql/": CREDENTIAL,
    "bridge /graphql/ws": CREDENTIAL,
    "bridge /.well-known/jwks.json": PUBLIC,
    "bridge /auth/.well-known/jwks.json": PUBLIC,
    "bridge /auth/challenge": PUBLIC,
    "bridge /auth/register": PUBLIC,
    "bridge /auth/login": PROOF,
    "bridge /auth/refresh": PROOF,
    "bridge /auth/logout": PROOF,
    "bridge /auth/verify": PROOF,
    "bridge /auth/forgot": PUBLIC,
    "bridge /auth/reset": PROOF,
    "bridge /auth/confirm-email": PROOF,
    "bridge /auth/me": CREDENTIAL,
    "bridge /auth/change-password": CREDENTIAL,
    "bridge /auth/change-email": CREDENTIAL,
    "bridge /auth/sign-out-everywhere": CREDENTIAL,
    "bridge /auth/delete-account": CREDENTIAL,
    "bridge /playback/telemetry/boot": TELEMETRY,
    "bridge /playback/telemetry/session": TELEMETRY,
    "console /playback/telemetry/boot": TELEMETRY,
    "console /playback/telemetry/session": TELEMETRY,
    "console /graphql": CREDENTIAL,
    "console /graphql/": CREDENTIAL,
    "console /graphql/ws": CREDENTIAL,
    "console /auth/{path:path}": PROOF,
    "console /.well-known/jwks.json": PUBLIC,
    "console /play/{playback_id}": PUBLIC,
    "console /mail": DEMO,
    "console /mail.json": DEMO,
    "console /watch/{playback_id}": PUBLIC,
    "console /{path:path}": PUBLIC,
    "foghorn /play/{playback_id}": PUBLIC,
    "mailbox /mail": DEMO,
    "mailbox /mail.json": DEMO,
    "kit /health": LOOPBACK,
    "kit /ready": LOOPBACK,
    "kit /metrics": LOOPBACK,
}
"""Service and path → who may ask. A playback id is public: it names what may be watched, and nothing more."""

ROUTE_MAKERS = frozenset({"Route", "WebSocketRoute", "_passed", "_socket"})


def http_routes() -> Iterator[str]:
    """Every route that any module makes, as `HTTP` names it."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).parts
        service = parts[0] if parts[0] == "kit" else parts[1] if len(parts) > 2 else ""
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ROUTE_MAKERS:
                for route in _paths(call.args[0]):
                    yield f"{service} {route}"


def _paths(argument: ast.expr) -> Iterator[str]:
    """The path of a route: written out, one of the `/auth` handlers', or passed on by a maker above."""
    if isinstance(argument, ast.Constant):
        yield str(argument.value)
    elif isinstance(argument, ast.JoinedStr):
        assert ast.unparse(argument) == "f'/auth/{path}'", ast.unparse(argument)
        yield from (f"/auth/{name}" for name in HANDLERS)
    else:
        assert ast.unparse(argument) == "path", ast.unparse(argument)


def rpc_methods() -> Iterator[MethodDescriptor]:
    """Every method of every service in our protos."""
    folder = Path(pb.__path__[0])
    for path in sorted(folder.glob("*_v1_pb2.py")):
        for service in import_module(f"{pb.__name__}.{path.stem}").DESCRIPTOR.services_by_name.values():
            yield from service.methods


def rpc_path(method: MethodDescriptor) -> str:
    """The name under which the permission table has a method."""
    return f"/{method.containing_service.full_name}/{method.name}"


def root_fields(schema: GraphQLSchema) -> Iterator[tuple[str, str, GraphQLField]]:
    """Every field at the root: kind (query, mutation, subscription), name, field."""
    roots = {
        "query": schema.query_type,
        "mutation": schema.mutation_type,
        "subscription": schema.subscription_type,
    }
    for kind, root in roots.items():
        for name, field in root.fields.items() if root else ():
            yield kind, name, field
