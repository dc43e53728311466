"""Bytes of an HTTP request to a GraphQL request, or to a refusal that says what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from frameworks.control.bridge.transport.errors import entry

BAD_REQUEST = "BAD_REQUEST"
GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
POST_ONLY = "Send operations with POST; subscriptions run over the socket at /graphql/ws."


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks: a document, its variables, which of its operations."""

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None


class Refused(Exception):
    """An answer without execution: an HTTP status, `errors` for the body, and headers."""

    def __init__(
        self, status: int, errors: list[dict[str, Any]], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(errors[0]["message"])
        self.status = status
        self.errors = errors
        self.headers = dict(headers or {})


def refuse(status: int, message: str, code: str = BAD_REQUEST, **headers: str) -> Refused:
    """A refusal with one error."""
    return Refused(status, [entry(message, code)], {k.replace("_", "-"): v for k, v in headers.items()})


def check_head(method: str, content_type: str) -> None:
    """Raise Refused unless this is a POST of JSON."""
    if method != "POST":
        raise refuse(405, POST_ONLY, Allow="POST, OPTIONS")
    media, _, parameters = content_type.partition(";")
    if media.strip().lower() not in (JSON, "application/graphql+json"):
        raise refuse(415, "Send JSON: set Content-Type to application/json.")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if charset not in ("", "utf-8", "utf8"):
        raise refuse(415, "Send JSON in UTF-8.")


def decode(body: bytes) -> Request:
    """The request in `body`; raises Refused with 400."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(400, "The body is not JSON.") from error
    return read(content)


def read(content: object) -> Request:
    """The request in decoded JSON; raises Refused with 400."""
    if isinstance(content, list):
        raise refuse(400, "Batches are not supported: send one operation a request.")
    if not isinstance(content, dict):
        raise refuse(400, "The body must be a JSON object.")
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str) or not query:
        raise refuse(400, "`query` must be a document.")
    if variables is not None and not isinstance(variables, dict):
        raise refuse(400, "`variables` must be an object.")
    if name is not None and not isinstance(name, str):
        raise refuse(400, "`operationName` must be a string.")
    return Request(query, variables or {}, name or None)


def answer_type(accept: str) -> str:
    """The media type to answer with: the modern one for who asks for it."""
    return GRAPHQL_RESPONSE if GRAPHQL_RESPONSE in accept.lower() else JSON
