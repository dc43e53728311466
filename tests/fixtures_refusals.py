"""Events that Decklog refuses, one of each sort, with the code each is refused under."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from fixtures_decklog import OWNER, Yard

from frameworks.contracts.pb.events_v1_pb2 import Event, StreamMetrics
from frameworks.contracts.topics import SCHEMA_VERSION
from frameworks.data.decklog.domain import MAX_EVENT_BYTES
from frameworks.kit.clock import micros
from frameworks.kit.identity import Identity, new_key
from frameworks.kit.metrics import REGISTRY

LATER = SCHEMA_VERSION + 1
Make = Callable[[Yard], tuple[bytes, str]]


def counted(code: str) -> float:
    """How many events were refused with this code so far."""
    return REGISTRY.get_sample_value("frameworks_decklog_refused_total", {"code": code}) or 0.0


def good(yard: Yard, number: int, **over: object) -> Event:
    """An event that is accepted."""
    return yard.event(**({"event_id": UUID(int=number).bytes} | over))


def changed(**over: object) -> Make:
    """The good event with other envelope fields, under a good attribution."""
    return lambda yard: (good(yard, 9, **over).SerializeToString(), yard.attribution())


def at(seconds: float) -> Make:
    """The good event at another time."""
    return lambda yard: (
        good(yard, 9, occurred_at=micros(yard.clock.now()) + int(seconds * 1_000_000)).SerializeToString(),
        yard.attribution(),
    )


def attributed(word: Callable[[Yard], str]) -> Make:
    """The good event under another attribution."""
    return lambda yard: (good(yard, 9).SerializeToString(), word(yard))


def rewritten(change: Callable[[bytes], bytes]) -> Make:
    """The good event's bytes, changed."""
    return lambda yard: (change(good(yard, 9).SerializeToString()), yard.attribution())


def expired(yard: Yard) -> str:
    """A word whose window ended an hour before the event."""
    then = int((yard.clock.now() - timedelta(hours=2)).timestamp())
    claims = yard.claims(nbf=then - 3600)
    return yard.commodore.sign(claims, typ="attribution", lifetime=timedelta(hours=-1))


def forged(yard: Yard) -> str:
    """A word by somebody who only says to be Commodore."""
    return Identity("commodore", new_key(), yard.clock).sign(
        yard.claims(), typ="attribution", lifetime=timedelta(hours=24)
    )


REFUSED: dict[str, tuple[Make, str]] = {
    "unknown type": (changed(type="stream-gossip"), "event.unknown_type"),
    "payload of another type": (
        changed(type="stream-lifecycle", stream_metrics=StreamMetrics()),
        "event.wrong_payload",
    ),
    "no payload": (changed(type="stream-metrics"), "event.wrong_payload"),
    "no tenant": (changed(tenant_id=b""), "event.no_tenant"),
    "the zero tenant": (changed(tenant_id=bytes(16)), "event.no_tenant"),
    "another's tenant": (changed(tenant_id=OWNER.bytes), "attribution.wrong_stream"),
    "forged attribution": (attributed(forged), "attribution.invalid"),
    "foreign attribution": (attributed(lambda y: y.attribution(node="node-2")), "attribution.wrong_node"),
    "expired attribution": (attributed(expired), "attribution.outside_window"),
    "oversize": (changed(trace_id="x" * MAX_EVENT_BYTES), "event.too_large"),
    "long name": (changed(trace_id="x" * 201), "event.long_name"),
    "a name with a line break": (changed(source="a\nb"), "event.bad_name"),
    "from the future": (at(121), "event.in_the_future"),
    "ancient": (at(-8 * 86_400), "event.too_old"),
    "the zero id": (changed(event_id=bytes(16)), "event.bad_id"),
    "truncated": (rewritten(lambda raw: raw[:-1]), "event.unreadable"),
    "no UTF-8": (rewritten(lambda raw: raw.replace(b"node-1", b"node-\xff")), "event.unreadable"),
    "a field twice": (rewritten(lambda raw: raw + b"\x20\x01"), "event.ambiguous"),
    "a field nobody knows": (rewritten(lambda raw: raw + b"\xf8\x07\x01"), "event.unknown_field"),
    "a schema from the future": (
        rewritten(lambda raw: raw.replace(b"\x20\x01", bytes((0x20, LATER))) + b"\xf8\x07\x01"),
        "event.unknown_version",
    ),
    "no schema": (changed(schema_version=0), "event.unknown_version"),
    "another cluster": (changed(cluster_id="elsewhere"), "sender.wrong_node"),
}
"""What is wrong → how it is made, and its code."""
