"""Three sorts of failure: a refusal (expected, shown), an unavailability (retry), a bug (anything else).

Domain errors know no transport. `kit.rpc`, `kit.http` and Bridge map `Kind` to their own codes through the one
table `CODES`; a test asserts that the table is total.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar


class Kind(Enum):
    """What sort of refusal this is; the only thing transports look at."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"
    LIMITED = "limited"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Codes:
    """One kind in the vocabulary of each transport: gRPC status name, HTTP status, GraphQL `extensions.code`."""

    grpc: str
    http: int
    graphql: str


CODES: dict[Kind, Codes] = {
    Kind.INVALID: Codes("INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
    Kind.UNAUTHENTICATED: Codes("UNAUTHENTICATED", 401, "UNAUTHORIZED"),
    Kind.FORBIDDEN: Codes("PERMISSION_DENIED", 403, "FORBIDDEN"),
    Kind.MISSING: Codes("NOT_FOUND", 404, "NOT_FOUND"),
    Kind.CONFLICT: Codes("ALREADY_EXISTS", 409, "CONFLICT"),
    Kind.PRECONDITION: Codes("FAILED_PRECONDITION", 412, "FAILED_PRECONDITION"),
    Kind.LIMITED: Codes("RESOURCE_EXHAUSTED", 429, "RATE_LIMITED"),
    Kind.TOO_LARGE: Codes("OUT_OF_RANGE", 413, "VALIDATION_ERROR"),
    Kind.UNAVAILABLE: Codes("UNAVAILABLE", 503, "UNAVAILABLE"),
    Kind.TIMEOUT: Codes("DEADLINE_EXCEEDED", 504, "UNAVAILABLE"),
    Kind.INTERNAL: Codes("INTERNAL", 500, "INTERNAL_ERROR"),
}


class Fault(Exception):
    """A failure with a kind, a stable dotted `code`, a sentence for the caller, and facts for the log."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class Refusal(Fault):
    """Expected: the caller is told why, and should change something before trying again."""

    kind = Kind.INVALID
    code = "invalid"


class Unavailable(Fault):
    """A dependency is away: the same call may succeed later."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"


class Unauthenticated(Refusal):
    """No credential, or one that does not verify."""

    kind = Kind.UNAUTHENTICATED
    code = "auth.required"


class Forbidden(Refusal):
    """A verified caller without the permission."""

    kind = Kind.FORBIDDEN
    code = "auth.forbidden"


class NotFound(Refusal):
    """No such thing, or not this tenant's: the two answers are the same on purpose."""

    kind = Kind.MISSING
    code = "not_found"


class Conflict(Refusal):
    """The thing exists, or changed meanwhile."""

    kind = Kind.CONFLICT
    code = "conflict"


class Precondition(Refusal):
    """The state does not allow it, or the system it needs does not exist here."""

    kind = Kind.PRECONDITION
    code = "precondition"


class Limited(Refusal):
    """Too much or too often; `retry_after` (seconds) is in the facts when waiting helps."""

    kind = Kind.LIMITED
    code = "limited"
