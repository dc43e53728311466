"""The event log as Decklog writes it, and Commodore's attributions as it reads them."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from frameworks.contracts.topics import ANALYTICS_EVENTS, SERVICE_EVENTS, UNREADABLE_EVENTS, Role
from frameworks.data.decklog.domain import (
    MAX_EVENT_BYTES,
    OLDEST,
    SECOND,
    SKEW,
    Attribution,
    Sender,
    Unreadable,
)
from frameworks.data.decklog.domain.records import RecordBatch
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Unauthenticated
from frameworks.kit.eventlog import EventLog, Outgoing
from frameworks.kit.identity import Verifier

_GRACE = timedelta(microseconds=OLDEST + SKEW)


class BadAttribution(Unauthenticated):
    """A signed attribution that does not say what one must."""

    code = "attribution.invalid"


class SignedAttributions:
    """Verifies a token once and remembers what it said, least recently used out."""

    def __init__(self, verifier: Verifier, *, capacity: int) -> None:
        self._verifier = verifier
        self._capacity = capacity
        self._known: OrderedDict[str, Attribution] = OrderedDict()

    def read(self, token: str) -> Attribution:
        """What the token says; an expired one still speaks for events from inside its window."""
        known = self._known.get(token)
        if known is not None:
            self._known.move_to_end(token)
            return known
        claims = self._verifier.claims(token, typ="attribution", issuer="commodore", grace=_GRACE)
        word = self._known[token] = _attribution(claims)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return word


def _attribution(claims: dict[str, Any]) -> Attribution:
    try:
        return Attribution(
            tenant=UUID(claims["tenant"]).bytes,
            stream=UUID(claims["stream"]).bytes,
            cluster=str(claims["cluster"]),
            node=str(claims["node"]),
            role=_ROLES[claims["role"]],
            epoch=int(claims["epoch"]),
            not_before=int(claims["nbf"]) * SECOND,
            not_after=int(claims["exp"]) * SECOND,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BadAttribution("The attribution lacks something it must say.") from error


_ROLES = {Role.INGEST.value: Role.INGEST, Role.VIEW.value: Role.VIEW}


class TopicLog:
    """Appends records to the topics that are Decklog's."""

    def __init__(self, log: EventLog, clock: Clock, *, region: str) -> None:
        self._log = log
        self._clock = clock
        self._region = region

    async def append(self, records: Sequence[RecordBatch], *, sender: Sender, trace: str) -> None:
        """Returns when every record is durable; raises Unavailable otherwise."""
        received_at = self._clock.now().isoformat()
        await self._log.publish([self._outgoing(record, sender, trace, received_at) for record in records])

    def _outgoing(self, record: RecordBatch, sender: Sender, trace: str, received_at: str) -> Outgoing:
        headers = {
            "tenant_id": str(UUID(bytes=record.tenant)),
            "event_type": ",".join(record.types),
            "schema_version": str(record.schema_version),
            "source": str(sender),
            "source_region": _header(record.region or self._region),
            "source_cluster_id": _header(record.cluster or sender.cluster or ""),
            "received_at": received_at,
            "trace": trace,
        }
        if record.topic == SERVICE_EVENTS:
            return Outgoing(SERVICE_EVENTS, record.partition, record.value, headers, record.dedupe_id)
        return Outgoing(ANALYTICS_EVENTS, record.partition, record.value, headers, record.dedupe_id)

    async def bury(self, letters: Sequence[Unreadable], *, sender: Sender, trace: str) -> None:
        """Keep what is no event, byte for byte; the same bytes of one sender again are stored once."""
        headers = {
            "source": _header(str(sender)),
            "source_cluster_id": _header(sender.cluster or ""),
            "tenant_id": str(sender.tenant or ""),
            "received_at": self._clock.now().isoformat(),
            "trace": trace,
        }
        await self._log.publish(
            [
                Outgoing(
                    UNREADABLE_EVENTS,
                    0,
                    letter.raw[:MAX_EVENT_BYTES],
                    headers | {"dead_reason": letter.problem.code},
                    hashlib.blake2b(str(sender).encode() + letter.raw, digest_size=20).hexdigest(),
                )
                for letter in letters
            ]
        )


def _header(text: str) -> str:
    """Headers are printable ASCII; what is not is spelled out."""
    return text.strip().encode("ascii", "backslashreplace").decode()
