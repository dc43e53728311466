"""What a failure looks like to a GraphQL client: stable codes, and for a bug an incident id."""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import GraphQLError

from frameworks.kit import log
from frameworks.kit.clock import uuid7
from frameworks.kit.errors import CODES, Fault, Kind

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
TOO_COMPLEX = "COMPLEXITY_LIMIT_EXCEEDED"
INTERNAL = CODES[Kind.INTERNAL].graphql

_log = log.get("bridge")


def entry(message: str, code: str, **extensions: object) -> dict[str, Any]:
    """One item of a response's `errors`."""
    return {"message": message, "extensions": {"code": code} | extensions}


def of_fault(fault: Fault) -> dict[str, Any]:
    """The item for an expected failure; a fault may bring its own `extensions`."""
    if fault.kind is Kind.INTERNAL:
        return masked(fault)
    extensions: dict[str, Any] = {"code": CODES[fault.kind].graphql, "reason": fault.code}
    if fault.kind is Kind.LIMITED and "retry_after" in fault.facts:
        extensions["retryAfter"] = fault.facts["retry_after"]
    extensions |= getattr(fault, "extensions", {})
    return {"message": fault.message, "extensions": extensions}


def masked(error: BaseException, path: object = None) -> dict[str, Any]:
    """The item for a bug: what happened goes to the log, the client gets an id to quote."""
    incident = uuid7().hex
    _log.error("incident.recorded", incident_id=incident, path=path, exc_info=error)
    return entry("Something went wrong here. Quote the incident id.", INTERNAL, incidentId=incident)


def of_graphql(error: GraphQLError) -> dict[str, Any]:
    """The item for an error that execution reported, with its place in document and answer."""
    original = error.original_error
    if isinstance(original, Fault):
        item = of_fault(original)
    elif original is None and not error.path:
        item = entry(error.message, str((error.extensions or {}).get("code", VALIDATION_FAILED)))
    elif isinstance(original, GraphQLError):
        item = entry(original.message, VALIDATION_FAILED)
    else:
        item = masked(original or error, error.path)
    if error.locations:
        item["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path:
        item["path"] = error.path
    return item


def of_document(errors: Iterable[GraphQLError], code: str) -> list[dict[str, Any]]:
    """Items for a document that does not parse or does not fit the schema."""
    items = []
    for error in errors:
        item = entry(error.message, code)
        if error.locations:
            item["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
        items.append(item)
    return items


def result(data: Mapping[str, Any] | None, errors: Iterable[GraphQLError] | None) -> dict[str, Any]:
    """The body of an executed operation."""
    if not errors:
        return {"data": data}
    return {"errors": [of_graphql(error) for error in errors], "data": data}
