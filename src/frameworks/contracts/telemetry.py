"""The token players send their telemetry with: Foghorn signs it with every answer, Bridge takes the tenant from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from frameworks.kit.errors import Unauthenticated

TYP = "telemetry"
ISSUER = "foghorn"
_LONGEST = 200


class BadSubject(Unauthenticated):
    """A token that verifies, but does not say what was watched."""

    code = "telemetry.bad_subject"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being watched, and whose it is."""

    tenant: UUID
    stream: UUID | None
    playback_id: str
    artifact: str = ""
    artifact_kind: str = ""

    def claims(self) -> dict[str, str]:
        """The subject as a token holds it."""
        stream = str(self.stream) if self.stream else ""
        given = {"artifact": self.artifact, "artifact_kind": self.artifact_kind, "stream": stream}
        return {"tenant": str(self.tenant), "playback_id": self.playback_id} | {
            name: text for name, text in given.items() if text
        }


def subject(claims: Mapping[str, object]) -> Subject:
    """The subject a verified token names; raises BadSubject."""
    texts = {name: claims.get(name, "") for name in ("playback_id", "artifact", "artifact_kind")}
    if not all(isinstance(text, str) and len(text) <= _LONGEST for text in texts.values()):
        raise BadSubject("The token names nothing that can be watched.")
    try:
        tenant, stream = UUID(str(claims.get("tenant"))), str(claims.get("stream", ""))
        found = Subject(tenant, UUID(stream) if stream else None, *map(str, texts.values()))
    except ValueError as error:
        raise BadSubject("The token names nothing that can be watched.") from error
    if not found.playback_id or not (found.stream or found.artifact):
        raise BadSubject("The token names nothing that can be watched.")
    return found
