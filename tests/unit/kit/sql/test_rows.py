"""A row's values reach the message's fields of the same names."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from frameworks.kit.sql import fill, mismatches

ID = UUID("0190a5a0-0000-7000-8000-000000000001")
FIELD = descriptor_pb2.FieldDescriptorProto


def sample() -> Any:
    """A message class with a field of each sort; made here because the test is about any message."""
    file = descriptor_pb2.FileDescriptorProto(
        name="rows_sample.proto", package="rows_sample", syntax="proto3"
    )
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="word", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    outer = file.message_type.add(name="Sample")
    kinds = {
        "tenant_id": FIELD.TYPE_BYTES,
        "stream_id": FIELD.TYPE_STRING,
        "title": FIELD.TYPE_STRING,
        "price": FIELD.TYPE_STRING,
        "created_at": FIELD.TYPE_FIXED64,
        "viewers": FIELD.TYPE_INT64,
        "is_live": FIELD.TYPE_BOOL,
        "ratio": FIELD.TYPE_DOUBLE,
        "digest": FIELD.TYPE_BYTES,
        "absent": FIELD.TYPE_STRING,
    }
    for number, (name, kind) in enumerate(kinds.items(), 1):
        outer.field.add(name=name, number=number, type=kind, label=FIELD.LABEL_OPTIONAL)
    outer.field.add(name="scopes", number=20, type=FIELD.TYPE_STRING, label=FIELD.LABEL_REPEATED)
    outer.field.add(name="node_ids", number=21, type=FIELD.TYPE_BYTES, label=FIELD.LABEL_REPEATED)
    message = {"type": FIELD.TYPE_MESSAGE, "type_name": ".rows_sample.Inner"}
    outer.field.add(name="inner", number=22, label=FIELD.LABEL_OPTIONAL, **message)
    outer.field.add(name="inners", number=23, label=FIELD.LABEL_REPEATED, **message)
    entry = outer.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    label = {"type": FIELD.TYPE_MESSAGE, "type_name": ".rows_sample.Sample.LabelsEntry"}
    outer.field.add(name="labels", number=24, label=FIELD.LABEL_REPEATED, **label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rows_sample.Sample"))


Sample = sample()


def test_each_value_takes_the_form_its_field_asks_for() -> None:
    row = {
        "tenant_id": ID,
        "stream_id": ID,
        "title": "News",
        "price": Decimal("1E+3"),
        "created_at": datetime(2026, 1, 1, 0, 0, 0, 7, tzinfo=UTC),
        "viewers": 3,
        "is_live": True,
        "ratio": 0.5,
        "digest": b"\x00\xff",
    }
    message = fill(Sample(), row)
    assert message == Sample(
        tenant_id=ID.bytes,
        stream_id=str(ID),
        title="News",
        price="1000",
        created_at=1_767_225_600_000_007,
        viewers=3,
        is_live=True,
        ratio=0.5,
        digest=b"\x00\xff",
    )


def test_lists_objects_and_maps_are_filled() -> None:
    row = {
        "scopes": ["read", "write"],
        "node_ids": [ID],
        "inner": {"word": "x"},
        "inners": [{"word": "y"}, {}],
        "labels": {"k": "v"},
    }
    message = fill(Sample(scopes=["old"]), row)
    assert list(message.scopes) == ["read", "write"]
    assert list(message.node_ids) == [ID.bytes]
    assert message.inner.word == "x"
    assert [inner.word for inner in message.inners] == ["y", ""]
    assert dict(message.labels) == {"k": "v"}


def test_null_and_unknown_columns_leave_the_message_alone() -> None:
    assert fill(Sample(title="kept"), {"title": None, "no_such_field": 1}) == Sample(title="kept")


def test_an_instant_in_a_field_not_named_for_one_is_refused() -> None:
    with pytest.raises(TypeError, match="viewers: only fields named …_at"):
        fill(Sample(), {"viewers": datetime(2026, 1, 1, tzinfo=UTC)})


def test_a_value_without_a_form_as_text_is_refused() -> None:
    with pytest.raises(TypeError, match="title: a int has no form as text"):
        fill(Sample(), {"title": 5})


def test_what_does_not_match_is_told() -> None:
    fields = Sample.DESCRIPTOR.fields_by_name.keys()
    assert mismatches(Sample, [*fields, "extra"]) == (set(), {"extra"})
    assert mismatches(Sample, [name for name in fields if name != "title"]) == ({"title"}, set())
