"""Mutations answer with a union: an expected refusal becomes one of its members instead of an error."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLUnionType, get_named_type

from frameworks.kit.errors import CODES, Kind, Refusal

MEMBERS: dict[Kind, str] = {
    Kind.INVALID: "ValidationError",
    Kind.TOO_LARGE: "ValidationError",
    Kind.CONFLICT: "ValidationError",
    Kind.PRECONDITION: "ValidationError",
    Kind.MISSING: "NotFoundError",
    Kind.UNAUTHENTICATED: "AuthError",
    Kind.FORBIDDEN: "AuthError",
    Kind.LIMITED: "RateLimitError",
}


def member(refusal: Refusal, members: frozenset[str]) -> dict[str, Any] | None:
    """The union member that stands for `refusal`; None when the union has none."""
    name = MEMBERS.get(refusal.kind)
    if name not in members:
        name = "ValidationError" if "ValidationError" in members and name == "NotFoundError" else None
    if name is None:
        return None
    facts = refusal.facts
    return {
        "__typename": name,
        "message": refusal.message,
        "code": CODES[refusal.kind].graphql,
        "field": facts.get("field"),
        "constraint": refusal.code,
        "resourceType": str(facts.get("resource_type", "resource")),
        "resourceId": str(facts.get("resource_id", "")),
        "retryAfter": facts.get("retry_after"),
    }


def answering(resolver: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """`resolver`, with refusals turned into members of the union it returns."""

    async def resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        try:
            answer = resolver(source, info, **arguments)
            return await answer if isawaitable(answer) else answer
        except Refusal as refusal:
            union = get_named_type(info.return_type)
            assert isinstance(union, GraphQLUnionType)
            found = member(refusal, frozenset(t.name for t in union.types))
            if found is None:
                raise
            return found

    return resolve
