"""Reading records in columns finds what decoding every event alone does, whatever a record holds."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from uuid import UUID

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.framing import BrokenBatch, frame, join, split, stamp
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.consumers.cutting import sizes
from frameworks.data.periscope.consumers.reading import decode
from frameworks.data.periscope.domain import (
    BUCKET,
    MARKING,
    Fact,
    Mark,
    UsageKey,
    facts_of,
    known_id,
    known_text,
    marks,
    usage_keys,
)

WHOLE = {"stream-lifecycle", "user-connection", "node-lifecycle", "api-requests"}
BAD = "bad"
HEADS = {kind: b"\x12%c%b\x19" % (len(kind), kind.encode()) for kind in EVENT_TYPES}
SHAPED = re.compile(rb"\n\x10.{16}\x12.[a-z-]+\x19.{8} [\0-\x7f]\*\x10.{16}2\x10.{16}", re.DOTALL)
"""An event up to its stream, each field in its place."""


@dataclass
class Found:
    """What is in records: frames by type and record in order, marks, usage, and changes of state."""

    frames: dict[tuple[str, int], list[bytes]] = field(default_factory=lambda: defaultdict(list))
    facts: list[Fact] = field(default_factory=list)
    changes: list[object] = field(default_factory=list)

    def said(self) -> tuple[object, ...]:
        """What two of them are compared by."""
        found: tuple[set[Mark], set[UsageKey]] = marks(self.facts), usage_keys(self.facts)
        return self.frames, *found, sorted(self.changes, key=repr)


def plainly(values: Sequence[bytes]) -> Found:
    """Decode every event."""
    found = Found()
    for record, value in enumerate(values):
        try:
            batch = ev.EventFrames.FromString(value)
        except DecodeError:
            found.frames[BAD, record].append(value)
            continue
        if len(UnknownFieldSet(batch)):
            found.frames[BAD, record].append(value)
            continue
        for body in batch.events:
            found.frames[kind_of(body, record, found), record].append(frame(body))
    return found


def kind_of(body: bytes, record: int, found: Found) -> str:
    """The event's type, or BAD; when all that matters is said at the known places, the rest is for the engine."""
    begins = next(
        (kind for kind, head in HEADS.items() if body[:2] == b"\n\x10" and body[18:].startswith(head)), None
    )
    shaped = SHAPED.match(body)
    if begins not in {*WHOLE, None} and (shaped or begins not in MARKING):
        if begins in MARKING and shaped:
            note(ev.Event.FromString(shaped[0]), record, found)
        return str(begins)
    try:
        event = ev.Event.FromString(body)
        note(event, record, found)
    except (DecodeError, ValueError):
        return BAD
    return begins or event.type


def note(event: ev.Event, record: int, found: Found) -> None:
    """What an event changes."""
    at, lasted = event.occurred_at, 0
    subject = known_text(event.stream_id) if event.stream_id else event.node_id
    tenant, cluster = known_id(event.tenant_id), event.cluster_id
    if event.type == "stream-lifecycle":
        lasted = event.stream_lifecycle.duration_ms * 1000
        identity, stream = UUID(bytes=event.event_id), known_id(event.stream_id)
        found.changes.append((tenant, stream, identity, event.stream_lifecycle.state, at))
    elif event.type == "user-connection":
        lasted = event.user_connection.seconds * 1_000_000
        opened = event.user_connection.action == "connect"
        found.changes.append(
            (tenant, known_id(event.stream_id), event.user_connection.session_id, opened, at)
        )
    elif event.type == "node-lifecycle":
        found.changes.append((record, cluster, event.node_id, at))
    found.facts.append(Fact(tenant, event.type, subject, at, lasted, cluster))


def in_columns(values: Sequence[bytes]) -> Found:
    """Decode all together."""
    decoded, found = decode(values), Found()
    for record, framed in decoded.bad:
        found.frames[BAD, record].append(framed)
    for kind, part in decoded.parts.items():
        for framed, record in zip(split(bytes(part.frames)), part.records.tolist(), strict=True):
            found.frames[kind, record].append(framed)
    found.facts = facts_of(decoded.spans)
    found.changes = [(s.tenant, s.stream, s.event, s.state, s.at) for s in decoded.streams]
    found.changes += [(s.tenant, s.stream, s.session, s.opened, s.at) for s in decoded.sessions]
    found.changes += [(record, n.cluster, n.node, n.at) for record, n in decoded.nodes]
    return found


ids = st.sampled_from([bytes(15) + bytes([n]) for n in range(1, 4)] + [b"\n\x10" * 8])
texts = st.text("ab\x10é", max_size=3)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """An event as writers encode it, of any type or of none that is known."""
    kind = draw(st.sampled_from([*EVENT_TYPES, "stream-gossip", ""]))
    event = ev.Event(
        event_id=draw(ids),
        type=kind,
        occurred_at=draw(st.integers(0, 3)) * BUCKET + draw(st.integers(-1, 1)) + 1_790_000_100_000_000,
        schema_version=draw(st.sampled_from([1, 2, 200])),
        tenant_id=draw(ids),
        stream_id=draw(st.one_of(ids, st.sampled_from([b"", bytes(3)]))),
        node_id=draw(texts),
        cluster_id=draw(texts),
    )
    if kind in EVENT_TYPES:
        getattr(event, EVENT_TYPES[kind].field).SetInParent()
    if kind == "user-connection":
        event.user_connection.action = draw(st.sampled_from(["connect", "disconnect"]))
        event.user_connection.seconds = draw(st.integers(0, 2000))
        event.user_connection.session_id = draw(texts)
    if kind == "stream-lifecycle":
        event.stream_lifecycle.duration_ms = draw(st.integers(0, 2_000_000))
    if draw(st.booleans()):
        event.trace_id = "t" * draw(st.sampled_from([32, 100, 200]))
    return event.SerializeToString()


def moved(event: bytes) -> bytes:
    """The same event with its fields in another order."""
    whole = ev.Event.FromString(event)
    rest = ev.Event()
    rest.CopyFrom(whole)
    rest.ClearField("type")
    return rest.SerializeToString() + ev.Event(type=whole.type).SerializeToString()


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Events, and what is left of them."""
    event = draw(events())
    match draw(st.sampled_from(["whole"] * 4 + ["moved", "cut", "stamped", "broken", "garbage"])):
        case "moved":
            return moved(event)
        case "cut":
            return event[: draw(st.integers(0, len(event)))]
        case "stamped":
            return event + stamp(cluster="c", source="x")
        case "broken":
            at = draw(st.integers(0, len(event)))
            return event[:at] + draw(st.binary(max_size=3)) + event[at + draw(st.integers(0, 2)) :]
        case "garbage":
            return draw(st.binary(max_size=40))
    return event


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Batches; some say it in more bytes than needed, some are none."""
    framed = [frame(body) for body in draw(st.lists(bodies(), max_size=6))]
    match draw(st.sampled_from(["whole"] * 6 + ["long", "more", "cut"])):
        case "long" if framed and framed[-1][1] < 0x80:
            framed[-1] = bytes([0x0A, framed[-1][1] | 0x80, 0]) + framed[-1][2:]
        case "more":
            framed.append(draw(st.sampled_from([b"\x10\x01", b"\x1a\x00", b"\x0b", b"\xff"])))
        case "cut" if framed:
            framed[-1] = framed[-1][: draw(st.integers(0, len(framed[-1])))]
    return b"".join(framed)


@given(st.lists(records(), max_size=5))
def test_columns_find_what_decoding_every_event_finds(values: list[bytes]) -> None:
    assert in_columns(values).said() == plainly(values).said()


@given(st.lists(records(), max_size=5))
def test_records_are_cut_where_a_parser_cuts_them_or_refused(values: list[bytes]) -> None:
    try:
        expected = [list(map(len, ev.EventFrames.FromString(value).events)) for value in values]
        whole = all(join(ev.EventFrames.FromString(value).events) == value for value in values)
    except DecodeError:
        whole = False
    if whole:
        found, counts = sizes(values)
        assert (found.tolist(), counts.tolist()) == (
            list(chain.from_iterable(expected)),
            list(map(len, expected)),
        )
    else:
        with pytest.raises(BrokenBatch):
            sizes(values)
