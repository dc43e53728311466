"""On real engines: events count once, buckets equal recomputation, poison is set apart, state has no order."""

import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from fixtures_events import fill
from fixtures_periscope import Periscope, Story, new_story

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.framing import frame
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.consumers.reading import decode
from frameworks.data.periscope.domain import BUCKET, BadFrames, Kind, Mark
from frameworks.data.periscope.service.ingest import Arrived, Source
from frameworks.data.periscope.store.current import PostgresTurns
from frameworks.data.periscope.store.facts import COMMON, DOORS
from frameworks.data.periscope.store.tables import PASSAGES
from frameworks.kit.analytics import Scope

GRAINS = ("5m", "1h", "1d")
BUCKETS = tuple(f"{n}_{g}" for n in ("health", "lifecycle", "viewers", "peaks", "nodes") for g in GRAINS)
SESSIONS = ("viewer_sessions_final", "stream_sessions_final")
FACTS = ("stream_events", "stream_views", "connection_events", "stream_health", "node_metrics")


def told(story: Story, seed: int) -> list[ev.Event]:
    """Half an hour of a stream, drawn by `seed`."""
    chance = random.Random(seed)
    events = []
    for _ in range(60):
        metrics = ev.StreamMetrics(bitrate_kbps=chance.randrange(5000), codec="H264", quality_tier="720p")
        events.append(story.event("stream-metrics", chance.randrange(1800), stream_metrics=metrics))
        node = ev.NodeLifecycle(state="up", cpu_permille=chance.randrange(1000))
        events.append(story.event("node-lifecycle", chance.randrange(1800), node_lifecycle=node))
        viewed = ev.StreamView(playback_id="p")
        events.append(story.event("stream-view", chance.randrange(1800), stream_view=viewed))
    for number in range(20):
        closed = ev.UserConnection(
            action="disconnect",
            session_id=f"s{number}",
            seconds=chance.randrange(1500),
            up_bytes=chance.randrange(10**12),
            place=ev.Place(country=chance.choice(["BE", "NL", "DE"])),
        )
        events.append(story.event("user-connection", chance.randrange(1500, 1800), user_connection=closed))
    ended = ev.StreamLifecycle(state="ended", duration_ms=1_500_000, down_bytes=chance.randrange(10**9))
    return [*events, story.event("stream-lifecycle", 1790, stream_lifecycle=ended)]


def batches(events: Sequence[ev.Event], chance: random.Random) -> list[list[ev.Event]]:
    """The events in order, cut at random."""
    rest, cut = list(events), []
    while rest:
        size = chance.randrange(1, 60)
        cut.append(rest[:size])
        rest = rest[size:]
    return cut


async def seen(periscope: Periscope, story: Story) -> dict[str, list[dict[str, Any]]]:
    """Every fact and bucket of the tenant as readers see them, without versions and sketches."""
    found = {}
    for table in (*FACTS, *BUCKETS, *SESSIONS):
        hidden = "" if table in FACTS else "EXCEPT (version)"
        sketch = ""
        if table.startswith("viewers_"):
            hidden = "EXCEPT (version, unique_viewers, cities)"
            sketch = ", finalizeAggregation(unique_viewers) AS viewers, finalizeAggregation(cities) AS places"
        sql = f"SELECT * {hidden}{sketch} FROM periscope.{table}_v ORDER BY ALL"
        found[table] = await periscope.analytics.query(sql, {}, Scope.tenant(story.tenant))
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_telling_it_again_in_other_batches_changes_nothing(periscope: Periscope, seed: int) -> None:
    story, chance = new_story(), random.Random(seed)
    events = told(story, seed)
    await periscope.take(*batches(events, chance))
    await periscope.roll_up.run()
    once = await seen(periscope, story)
    assert [len(once[table]) for table in FACTS] == [1, 60, 20, 60, 60]
    for _ in range(2):
        await periscope.take(*batches(events, chance))
        await periscope.roll_up.run()
    assert await seen(periscope, story) == once


async def test_late_events_end_in_the_same_buckets_as_punctual_ones(periscope: Periscope) -> None:
    late, punctual = new_story(), new_story()
    events = told(late, 7)
    for part in (events[::3], events[1::3], events[2::3]):
        await periscope.take(part)
        await periscope.roll_up.run()
    retold = []
    for event in events:
        copy = ev.Event.FromString(event.SerializeToString())
        copy.tenant_id, copy.occurred_at = punctual.tenant.bytes, event.occurred_at
        retold.append(copy)
    await periscope.take(retold)
    await periscope.roll_up.run()
    one, other = await seen(periscope, late), await seen(periscope, punctual)
    for table in (*BUCKETS, *SESSIONS):
        assert without_tenant(one[table]) == without_tenant(other[table])


def without_tenant(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that may be compared between tenants."""
    return [{name: value for name, value in row.items() if name != "tenant_id"} for row in rows]


async def test_sessions_are_shared_out_to_their_buckets_exactly(periscope: Periscope) -> None:
    story = new_story()
    sessions = [
        story.event(
            "user-connection",
            1700 + n,
            user_connection=ev.UserConnection(
                action="disconnect", session_id=f"s{n}", seconds=61 * n, up_bytes=10**9 + 7 * n
            ),
        )
        for n in range(25)
    ]
    await periscope.take(sessions)
    await periscope.roll_up.run()
    rows = (await seen(periscope, story))["viewers_5m"]
    assert sum(row["viewer_us"] for row in rows) == sum(61 * n for n in range(25)) * 1_000_000
    assert sum(row["egress_bytes"] for row in rows) == sum(10**9 + 7 * n for n in range(25))
    assert sum(row["closed"] for row in rows) == 25


async def test_what_no_one_can_read_is_buried_and_the_rest_is_stored(periscope: Periscope) -> None:
    story = new_story()
    good = [frame(event.SerializeToString()) for event in told(story, 1)[:21]]
    poison = [poisoned(story, second) for second in (5, 700)]
    value = b"".join([*good[:13], poison[0], *good[13:], poison[1]])
    headers = {"tenant_id": "t", "event_type": "stream-metrics", "trace": "abc"}
    taken = await periscope.ingest.take([Arrived(decode([value]), [Source(headers, "a/0/9")])])
    assert (taken.stored, taken.buried) == (21, 2)
    assert [letter.frame for letter in periscope.buried.letters] == poison
    assert {(letter.origin, letter.reason) for letter in periscope.buried.letters} == {
        ("a/0/9", "refused by the analytics engine")
    }
    assert all(letter.headers == headers for letter in periscope.buried.letters)
    with pytest.raises(BadFrames):
        await periscope.facts.insert("stream-metrics", poison)


def poisoned(story: Story, second: int) -> bytes:
    """An event whose measurements no protobuf reader takes, behind a head that looks like any other."""
    whole = story.event("stream-metrics", second, stream_metrics=ev.StreamMetrics()).SerializeToString()
    assert whole.endswith(b"\x00")
    return frame(whole[:-1] + b"\x03\x08\xff\xff")


async def test_an_event_of_an_unknown_type_leaves_its_envelope(periscope: Periscope) -> None:
    story = new_story()
    await periscope.take([story.event("stream-gossip", 1)])
    sql = "SELECT type FROM periscope.unclaimed_events_v"
    assert await periscope.analytics.query(sql, {}, Scope.tenant(story.tenant)) == [{"type": "stream-gossip"}]


@pytest.mark.parametrize("kind", EVENT_TYPES)
async def test_an_event_is_the_same_row_by_its_own_door_and_by_the_common_one(
    periscope: Periscope, kind: str
) -> None:
    narrow, wide = new_story(), new_story()
    rows = []
    for story, door in ((narrow, DOORS[kind]), (wide, COMMON)):
        event = story.event(kind, 1)
        event.tenant_id = story.tenant.bytes
        event.occurred_at, event.event_id, event.stream_id = (
            narrow.start,
            bytes(range(16)),
            narrow.stream.bytes,
        )
        fill(getattr(event, EVENT_TYPES[kind].field))
        await periscope.analytics.insert_protobuf(
            door, message="Event", schema_text=SCHEMA_TEXT, payload=frame(event.SerializeToString())
        )
        table = next(view for view in PASSAGES if view.startswith(f"{EVENT_TYPES[kind].field}_to_"))
        sql = f"SELECT * EXCEPT (tenant_id) FROM periscope.{table.partition('_to_')[2]}_v ORDER BY ALL"
        rows.append(await periscope.analytics.query(sql, {}, Scope.tenant(story.tenant)))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 1


async def test_every_field_of_every_event_reaches_its_table(periscope: Periscope) -> None:
    """A column that is missing, or named otherwise than in events.proto, shows up as a default here."""
    rows = await periscope.analytics.query(
        "SELECT name, type FROM system.columns WHERE database = 'periscope' AND table = 'arrivals'",
        {},
        Scope.system("compares columns with events.proto"),
    )
    columns = {row["name"]: row["type"] for row in rows}
    assert columns.keys() == {field.name for field in ev.Event.DESCRIPTOR.fields}
    for field in ev.Event.DESCRIPTOR.fields:
        for name in names_inside(field.message_type):
            assert re.search(rf"\b{name} ", columns[field.name]), f"{field.name}.{name} has no column"


def names_inside(message: Any) -> list[str]:
    """Every field of a message and of the messages in it."""
    if message is None or message.GetOptions().map_entry:
        return []
    return [name for field in message.fields for name in (field.name, *names_inside(field.message_type))]


async def test_the_order_of_events_does_not_matter_to_current_state(periscope: Periscope) -> None:
    def lifecycles(story: Story) -> list[ev.Event]:
        said = [(1, 0, "started"), (1, 5, "live"), (1, 90, "ended"), (2, 100, "live"), (2, 130, "offline")]
        return [
            story.event("stream-lifecycle", at, epoch=epoch, stream_lifecycle=ev.StreamLifecycle(state=state))
            for epoch, at, state in [*said, (2, 140, "live")]
        ]

    for seed in range(6):
        story, chance = new_story(), random.Random(seed)
        events = lifecycles(story) * 2
        chance.shuffle(events)
        for event in events:
            await periscope.take([event])
        (state,) = await periscope.live.states(story.tenant, [story.stream])
        assert (state["state"], state["claim_epoch"]) == ("live", 2)
        assert state["started_at"].timestamp() == story.start / 1e6 + 100


async def test_a_session_that_ended_before_it_began_to_be_known_stays_ended(periscope: Periscope) -> None:
    story = new_story()
    live = story.event("stream-lifecycle", 0, stream_lifecycle=ev.StreamLifecycle(state="live"))
    opened = story.event(
        "user-connection", 1, user_connection=ev.UserConnection(action="connect", session_id="s")
    )
    closed = story.event(
        "user-connection", 2, user_connection=ev.UserConnection(action="disconnect", session_id="s")
    )
    for event in (live, closed, opened, opened, closed, opened):
        await periscope.take([event])
    (state,) = await periscope.live.states(story.tenant, [story.stream])
    assert state["viewers"] == 0


async def test_a_mark_made_while_its_bucket_is_recomputed_survives(periscope: Periscope) -> None:
    story = new_story()
    mark = Mark(story.tenant, Kind.HEALTH, str(story.stream), story.start // BUCKET * BUCKET)
    await periscope.marks.mark([mark])
    read = await periscope.marks.oldest([Kind.HEALTH], 100_000)
    assert mark in read.marks
    await periscope.marks.mark([mark])
    await periscope.marks.done([mark], read.read_at)
    assert mark in (await periscope.marks.oldest([Kind.HEALTH], 100_000)).marks
    read = await periscope.marks.oldest([Kind.HEALTH], 100_000)
    await periscope.marks.done([mark], read.read_at)
    assert mark not in (await periscope.marks.oldest([Kind.HEALTH], 100_000)).marks


async def test_one_process_has_the_turn_at_a_time(periscope: Periscope) -> None:
    turns = PostgresTurns(periscope.database)
    async with turns.turn() as mine, turns.turn() as theirs:
        assert (mine, theirs) == (True, False)
