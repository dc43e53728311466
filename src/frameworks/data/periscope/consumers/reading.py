"""Records read: all events by their columns, whole only what changes state or usage and what is laid out otherwise."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from frameworks.contracts.framing import BrokenBatch, frame, join
from frameworks.contracts.pb.events_v1_pb2 import Event, EventFrames
from frameworks.data.periscope.consumers.columns import BEYOND, KINDS, UNKNOWN, Columns, is_one_of
from frameworks.data.periscope.consumers.cutting import Numbers, sizes
from frameworks.data.periscope.domain import (
    MARKING,
    SECOND,
    Decoded,
    NodeHeard,
    Part,
    SessionChange,
    Span,
    StreamChange,
    known_id,
    known_text,
    plain,
    recurring,
    span,
)

AT_ONCE = 1000
"""Events decoded whole in one step."""
_STATE = frozenset({"stream-lifecycle", "user-connection", "node-lifecycle", "api-requests"})
"""Types decoded whole: state or usage is made of them."""
_DECODED, _MARKED = is_one_of(_STATE), is_one_of(MARKING - _STATE)
_NUMBERS = {name: number for number, name in enumerate(KINDS)}


def decode(values: Sequence[bytes]) -> Decoded:
    """Sort the events of records by type, reading only what changes state or usage."""
    reading = Reading(values)
    for _ in reading.steps():
        pass
    return reading.decoded()


class Reading:
    """Some records, and what they are found to hold."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._bad: list[tuple[int, bytes]] = []
        self._unclaimed: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self._spans: set[Span] = set()
        self._streams: list[StreamChange] = []
        self._sessions: list[SessionChange] = []
        self._nodes: list[tuple[int, NodeHeard]] = []
        self._columns, self._records = self._cut(values)
        """The events, and by number the record of each."""

    def _cut(self, values: Sequence[bytes]) -> tuple[Columns, Numbers]:
        try:
            found, counts = sizes(values)
        except BrokenBatch:
            values = [self._mended(number, value) for number, value in enumerate(values)]
            found, counts = sizes(values)
        return Columns(b"".join([*values, BEYOND]), found), np.repeat(np.arange(len(values)), counts)

    def _mended(self, record: int, value: bytes) -> bytes:
        """The batch as `join` makes it; a record that is none is bad as a whole."""
        try:
            frames = EventFrames.FromString(value)
        except DecodeError:
            frames = None
        if frames is None or len(UnknownFieldSet(frames)):
            self._bad.append((record, value))
            return b""
        return join(frames.events)

    def steps(self) -> Iterator[None]:
        """Read everything, a piece at a step."""
        yield
        columns = self._columns
        whole = _DECODED[columns.kinds] | (columns.kinds == UNKNOWN)
        self._spans, unclear = columns.touched(_MARKED)
        whole[unclear] = True
        numbers = np.flatnonzero(whole)
        for first in range(0, len(numbers), AT_ONCE):
            yield
            self._decode(numbers[first : first + AT_ONCE])
        yield

    def _decode(self, numbers: Numbers) -> None:
        """Read events whole, and say of which type those are that do not say so at the known place."""
        columns, data = self._columns, self._columns.bytes
        places = columns.begins[numbers].tolist(), columns.ends[numbers].tolist()
        records, kinds = self._records[numbers].tolist(), columns.kinds[numbers].tolist()
        for at, (begin, end, record, kind) in enumerate(zip(*places, records, kinds, strict=True)):
            body = data[begin:end]
            try:
                event = Event.FromString(body)
                self._read(event, record)
            except (DecodeError, ValueError):
                self._bad.append((record, frame(body)))
                kinds[at] = UNKNOWN
                continue
            if kind == UNKNOWN:
                kinds[at] = _NUMBERS.get(event.type, UNKNOWN)
                if kinds[at] == UNKNOWN:
                    self._unclaimed[event.type].append((record, frame(body)))
        columns.kinds[numbers] = kinds

    def _read(self, event: Event, record: int) -> None:
        """Everything an event changes. Raises ValueError when an id is none."""
        name, at, owner, stream, lasted = event.type, event.occurred_at, event.tenant_id, event.stream_id, 0
        tenant, node, cluster = known_id(owner), recurring(event.node_id), recurring(event.cluster_id)
        subject = known_text(stream) if stream else node
        if name == "stream-lifecycle":
            lasted = event.stream_lifecycle.duration_ms * 1000
            self._streams.append(_stream_change(event))
        elif name == "user-connection":
            found = event.user_connection
            lasted, opened = found.seconds * SECOND, found.action == "connect"
            session = plain(found.session_id)
            self._sessions.append(SessionChange(tenant, known_id(stream), node, session, opened, at))
        elif name == "node-lifecycle":
            self._nodes.append((record, NodeHeard(cluster, node, at)))
        self._spans.add((name, owner, subject, cluster, *span(at, lasted)))

    def decoded(self) -> Decoded:
        """Everything found."""
        parts = {KINDS[kind]: Part(frames, self._records[of]) for kind, frames, of in self._columns.sorted()}
        for name, found in self._unclaimed.items():
            frames = memoryview(b"".join(framed for _, framed in found))
            parts[name] = Part(frames, np.array([record for record, _ in found]))
        return Decoded(
            parts=parts,
            bad=self._bad,
            spans=self._spans,
            streams=self._streams,
            sessions=self._sessions,
            nodes=self._nodes,
        )


def _stream_change(event: Event) -> StreamChange:
    found = event.stream_lifecycle
    return StreamChange(
        tenant=known_id(event.tenant_id),
        stream=known_id(event.stream_id),
        epoch=event.claim_epoch,
        state=plain(found.state),
        at=event.occurred_at,
        event=UUID(bytes=event.event_id),
        node=plain(event.node_id),
        cluster=plain(event.cluster_id),
        reason=plain(found.reason),
        detail=plain(found.detail),
        up_bytes=found.up_bytes,
        down_bytes=found.down_bytes,
    )
