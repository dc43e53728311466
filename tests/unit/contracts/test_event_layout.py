"""The places that the layout names are those where protobuf puts the fields."""

import pytest

from frameworks.contracts import event_layout as layout
from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.contracts.topics import EVENT_TYPES, EventType

ID, TENANT, STREAM, TRACE = bytes(range(16)), b"t" * 16, b"s" * 16, "0123456789abcdef" * 2
NOW = 0x0102030405060708


def event(kind: EventType) -> bytes:
    """An event that says everything."""
    said = Event(
        event_id=ID,
        type=kind.name,
        occurred_at=NOW,
        schema_version=2,
        tenant_id=TENANT,
        stream_id=STREAM,
        node_id="node-1",
        trace_id=TRACE,
    )
    getattr(said, kind.field).SetInParent()
    return said.SerializeToString()


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_field_of_an_envelope_lies_where_the_layout_says(kind: EventType) -> None:
    raw, length = event(kind), len(kind.name)
    time, ids = layout.TIME_AT + length, layout.TIME_END + length
    assert raw.startswith(layout.ID_HEAD)
    assert raw[layout.ID_AT : layout.TYPE_AT] == ID
    assert raw[layout.LENGTH_AT] == length < 128
    assert raw[layout.TYPE_AT : time] == layout.type_head(kind.name)
    assert int.from_bytes(raw[time:ids], "little") == NOW
    expected = layout.VERSION_HEAD + b"\x02" + layout.TENANT_HEAD + TENANT + layout.STREAM_HEAD + STREAM
    assert raw[ids : ids + layout.IDS] == expected
    trace = raw.index(layout.TRACE_HEAD)
    assert raw[trace + len(layout.TRACE_HEAD) :][: layout.TRACE] == TRACE.encode()
    assert len(raw) == trace + len(layout.TRACE_HEAD) + layout.TRACE + layout.PAYLOAD_TAG + 1
