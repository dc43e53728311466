"""Who asks, the ids they ask by, and the refusals that only Bridge makes."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from frameworks.kit.errors import Fault, Kind, Precondition, Refusal
from frameworks.kit.identity import PUBLIC, Principal, PrincipalKind

OPERATOR = "operator"
"""The role of those who run the platform."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a verified principal and the token it is passed on with, or the public."""

    principal: Principal = PUBLIC
    token: str | None = None
    address: str = ""
    trace: str = ""
    refusal: Fault | None = None
    """Why the credential that was sent does not hold; the caller is then the public."""

    @property
    def is_public(self) -> bool:
        """Whether no credential holds."""
        return self.principal.kind is PrincipalKind.PUBLIC

    @property
    def bucket(self) -> str:
        """Whose budget its calls count against."""
        return f"ip:{self.address}" if self.is_public else f"tenant:{self.principal.tenant}"

    @property
    def expires(self) -> datetime | None:
        """When its credential ends."""
        return None if self.is_public else self.principal.expires

    def may(self, scope: str) -> bool:
        """Whether it holds `scope`; writing includes reading."""
        held = self.principal.scopes
        return scope in held or scope.replace(":read", ":write") in held

    @property
    def is_operator(self) -> bool:
        """Whether it runs the platform."""
        return OPERATOR in self.principal.roles


class BadId(Refusal):
    """An id of another kind, or no id at all."""

    code = "bridge.bad_id"


class BadPage(Refusal):
    """A page that asks for both ends, or for too many rows."""

    code = "bridge.bad_page"


class NotOffered(Precondition):
    """The schema knows it, but no system here provides it."""

    code = "bridge.not_offered"


class StreamNotPlayable(Refusal):
    """The stream can not be watched now; players read the code and try again."""

    kind = Kind.PRECONDITION
    code = "bridge.stream_not_playable"
    word: ClassVar[str] = "STREAM_OFFLINE"

    @property
    def extensions(self) -> dict[str, Any]:
        """What players look for in the error."""
        return {"code": self.word}


class StreamOffline(StreamNotPlayable):
    """Nobody publishes to the stream."""

    code = "bridge.stream_offline"


class StreamStarting(StreamNotPlayable):
    """Media will be there in a moment."""

    code = "bridge.stream_starting"
    word = "STREAM_STARTING"

    @property
    def extensions(self) -> dict[str, Any]:
        """Also says when to ask again."""
        return {"code": self.word, "retry_after_ms": 2000}


class StreamFull(StreamNotPlayable):
    """As many people watch as the owner's plan allows."""

    code = "bridge.stream_full"
    word = "STREAM_FULL"

    @property
    def extensions(self) -> dict[str, Any]:
        """Also says when to ask again."""
        return {"code": self.word, "retry_after_ms": 10_000}


def global_id(kind: str, *parts: str) -> str:
    """The global id of a thing; composites are joined with `|`."""
    return base64.b64encode(f"{kind}:{'|'.join(parts)}".encode()).decode()


def local_id(kind: str, text: str) -> str:
    """The id inside a global id of `kind`, or `text` when it is none; raises BadId for other kinds."""
    found = _decode(text)
    if found is None:
        return text
    name, _, rest = found.partition(":")
    if name != kind:
        raise BadId(f"This is the id of a {name}, not of a {kind}.")
    return rest


def uuid_id(kind: str, text: str) -> str:
    """The UUID in an id of `kind`, as text; raises BadId."""
    try:
        return str(UUID(local_id(kind, text)))
    except ValueError as error:
        raise BadId(f"This is not the id of a {kind}.") from error


def _decode(text: str) -> str | None:
    try:
        plain = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    kind, colon, rest = plain.partition(":")
    return plain if colon and rest and kind.isidentifier() and kind[:1].isupper() else None
