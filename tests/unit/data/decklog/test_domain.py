"""Records: how large they may be, and what their ids depend on."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from frameworks.contracts.framing import split
from frameworks.data.decklog.domain import MAX_EVENTS, Arrival, Sender, SenderKind, shape_problem
from frameworks.data.decklog.domain.records import MAX_RECORD_BYTES, Places, RecordBatch, lane_of
from frameworks.data.decklog.domain.records import regroup as regroup_lanes

TENANT = UUID(int=1).bytes
NODE = Sender(SenderKind.NODE, "n", "c", None)


def arrival(number: int, *, stream: bytes = UUID(int=2).bytes, size: int = 100, node: str = "n") -> Arrival:
    """The `number`-th event, `size` bytes long."""
    raw = b"%06d" % number + bytes(size - 6)
    ids = b"i" * 16
    return Arrival(
        number,
        raw,
        "stream-metrics",
        "stream_metrics",
        ids,
        10**15,
        1,
        TENANT,
        stream,
        node,
        "c",
        "",
        "",
        "",
        1,
        1,
    )


def regroup(events: Iterable[Arrival]) -> Sequence[RecordBatch]:
    """The records of events that were accepted."""
    places = Places()
    for event in events:
        places.of(lane_of(event, NODE, "")).append(event.raw)
    return regroup_lanes(places.parts.values())


def test_a_record_has_bounds_and_the_next_one_goes_on() -> None:
    records = regroup(arrival(number) for number in range(2 * MAX_EVENTS + 1))
    assert [record.events for record in records] == [MAX_EVENTS, MAX_EVENTS, 1]
    large = regroup(arrival(number, size=200_000) for number in range(12))
    assert all(len(record.value) <= MAX_RECORD_BYTES for record in large)
    assert [int(framed[4:10]) for record in large for framed in split(record.value)] == list(range(12))


def test_the_same_events_make_the_same_id_and_others_another() -> None:
    one, same = regroup([arrival(1), arrival(2)]), regroup([arrival(1), arrival(2)])
    assert one[0].dedupe_id == same[0].dedupe_id
    assert regroup([arrival(2), arrival(1)])[0].dedupe_id != one[0].dedupe_id


def test_names_that_no_header_can_carry_are_refused() -> None:
    for name in ("n\n", "n" * 201, "\u2028"):
        problem = shape_problem(arrival(1, node=name), 10**15)
        assert problem is not None
        assert problem.code in {"event.bad_name", "event.long_name"}


def test_an_event_of_nobody_is_refused() -> None:
    problem = shape_problem(arrival(1, stream=b"", node=""), 10**15)
    assert problem is not None
    assert problem.code == "event.no_subject"
