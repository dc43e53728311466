"""On real engines: history computed again from facts equals what stands, and what was tampered with is found."""

import random
from collections.abc import Sequence

from fixtures_periscope import SILENT_AFTER, Periscope, Story, new_story
from test_periscope_facts import BUCKETS, SESSIONS, batches, seen, told

from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.data.periscope.service.closing import Closer
from frameworks.data.periscope.service.ingest import NoState
from frameworks.data.periscope.service.rebuild import Compared, Rebuild
from frameworks.data.periscope.service.roll_up import Alone, RollUp
from frameworks.data.periscope.store.closing import ClickHouseSessions
from frameworks.data.periscope.store.rebuild import ClickHouseShadows
from frameworks.data.periscope.store.roll_ups import ClickHouseRollUps
from frameworks.kit.clock import SystemClock, micros

DAY = 86_400_000_000


async def rebuilt(
    periscope: Periscope, story: Story, *, replace: bool = False, days: float = 0.5
) -> Sequence[Compared]:
    """What a rebuild of the story's days finds."""
    at = SystemClock().now()

    roll_ups = ClickHouseRollUps(periscope.analytics, lambda: at, silent_after=SILENT_AFTER)
    roll_up = RollUp(periscope.marks, roll_ups, Alone())
    sessions = ClickHouseSessions(periscope.analytics, lambda: at, silent_after=SILENT_AFTER)
    shadows = ClickHouseShadows(periscope.analytics, lambda: at, silent_after=SILENT_AFTER)
    closer = Closer(sessions, periscope.marks, roll_up, NoState())
    rebuild = Rebuild(shadows, closer, lambda *_: None)
    return await rebuild.run(story.tenant, micros(at) - int(days * DAY), micros(at), replace=replace)


async def test_what_stands_equals_what_facts_say(periscope: Periscope) -> None:
    story, chance = new_story(), random.Random(3)
    events = told(story, 3)
    chance.shuffle(events)
    for part in batches(events, chance):
        await periscope.take(part)
        await periscope.roll_up.run()
    found = await rebuilt(periscope, story)
    assert {one.table for one in found} == {*BUCKETS, *SESSIONS}
    assert not [one for one in found if one.differing]
    assert all(one.rows for one in found)


async def test_a_row_that_facts_do_not_back_is_found_and_replaced(periscope: Periscope) -> None:
    story = new_story()
    await periscope.take(told(story, 4))
    await periscope.roll_up.run()
    before = await seen(periscope, story)
    for table in ("health_5m", "viewers_1d"):
        column = "samples" if table == "health_5m" else "closed"
        await periscope.analytics.command(
            f"""INSERT INTO periscope.{table} SELECT * REPLACE ({column} + 1 AS {column}, version + 1 AS version)
                FROM periscope.{table}_v WHERE tenant_id = toUUID('{story.tenant}')"""
        )
    await periscope.analytics.command(
        f"""INSERT INTO periscope.peaks_5m SELECT * REPLACE (bucket + 300000 AS bucket)
            FROM periscope.peaks_5m_v WHERE tenant_id = toUUID('{story.tenant}') LIMIT 1"""
    )
    wrong = {one.table: one for one in await rebuilt(periscope, story) if one.differing}
    assert wrong.keys() == {"health_5m", "viewers_1d", "peaks_5m"}
    assert wrong["peaks_5m"].examples[0].rebuilt == ""
    await rebuilt(periscope, story, replace=True)
    assert not [one for one in await rebuilt(periscope, story) if one.differing]
    assert await seen(periscope, story) == before


async def test_a_session_bears_on_days_that_have_no_fact_of_their_own(periscope: Periscope) -> None:
    story, days = new_story(), 3
    gone = ev.UserConnection(action="disconnect", session_id="s", seconds=days * 86_400, up_bytes=9_000_000)
    ended = ev.StreamLifecycle(state="ended", duration_ms=days * 86_400_000, reason="STREAM_END")
    await periscope.take(
        [
            story.event("user-connection", 0, user_connection=gone),
            story.event("stream-lifecycle", 0, stream_lifecycle=ended),
        ]
    )
    await periscope.closer.run()
    found = {one.table: one for one in await rebuilt(periscope, story, days=days + 1)}
    assert not [one for one in found.values() if one.differing]
    for table in ("viewers_5m", "lifecycle_5m"):
        assert found[table].rows >= days * 288
    assert found["viewers_1d"].rows == days + 1


async def test_a_session_that_fell_silent_is_closed_where_it_was_last_heard_of(periscope: Periscope) -> None:
    story = new_story()
    early = Story(story.tenant, story.stream, story.start - 5 * 3_600_000_000)
    opened = early.event(
        "user-connection", 0, user_connection=ev.UserConnection(action="connect", session_id="s")
    )
    sample = ev.ClientSample(session_id="s", up_bytes=700, seconds=60)
    live = early.event("stream-lifecycle", 0, stream_lifecycle=ev.StreamLifecycle(state="live"))
    await periscope.take([live, opened, early.event("client-sample", 60, client_sample=sample)])
    await periscope.closer.run()
    (row,) = (await seen(periscope, story))["viewer_sessions_final"]
    assert (row["anomalous"], row["seconds"], row["up_bytes"]) == (True, 60, 700)
    (claim,) = (await seen(periscope, story))["stream_sessions_final"]
    assert (claim["anomalous"], claim["reason"]) == (True, "SILENT")
    (state,) = await periscope.live.states(story.tenant, [story.stream])
    assert (state["state"], state["reason"]) == ("ended", "SILENT")
    assert not await periscope.live.viewers(story.tenant)
    assert not [one for one in await rebuilt(periscope, story) if one.differing]


async def test_the_real_end_wins_over_the_presumed_one(periscope: Periscope) -> None:
    story = new_story()
    early = Story(story.tenant, story.stream, story.start - 5 * 3_600_000_000)
    opened = early.event(
        "user-connection", 0, user_connection=ev.UserConnection(action="connect", session_id="s")
    )
    live = early.event("stream-lifecycle", 0, stream_lifecycle=ev.StreamLifecycle(state="live"))
    await periscope.take([live, opened])
    await periscope.closer.run()
    gone = ev.UserConnection(action="disconnect", session_id="s", seconds=100, up_bytes=9)
    ended = ev.StreamLifecycle(state="ended", duration_ms=120_000, reason="STREAM_END")
    closed = [
        early.event("user-connection", 100, user_connection=gone),
        early.event("stream-lifecycle", 120, stream_lifecycle=ended),
    ]
    await periscope.take(closed)
    await periscope.closer.run()
    (row,) = (await seen(periscope, story))["viewer_sessions_final"]
    assert (row["anomalous"], row["seconds"], row["up_bytes"]) == (False, 100, 9)
    (claim,) = (await seen(periscope, story))["stream_sessions_final"]
    assert (claim["anomalous"], claim["reason"], claim["seconds"]) == (False, "STREAM_END", 120)
    (state,) = await periscope.live.states(story.tenant, [story.stream])
    assert (state["state"], state["reason"]) == ("ended", "STREAM_END")


async def test_a_late_sign_of_life_opens_a_session_again(periscope: Periscope) -> None:
    story = new_story()
    early = Story(story.tenant, story.stream, story.start - 5 * 3_600_000_000)
    opened = early.event(
        "user-connection", 0, user_connection=ev.UserConnection(action="connect", session_id="s")
    )
    live = story.event("stream-lifecycle", 0, stream_lifecycle=ev.StreamLifecycle(state="live"))
    await periscope.take([live, opened])
    await periscope.closer.run()
    assert not await periscope.live.viewers(story.tenant)
    heard = story.event("client-sample", 0, client_sample=ev.ClientSample(session_id="s", seconds=18_000))
    await periscope.take([heard])
    await periscope.closer.run()
    await periscope.take([story.event("client-sample", 9, client_sample=ev.ClientSample(session_id="s"))])
    assert not [one for one in await rebuilt(periscope, story) if one.differing]
    assert not (await seen(periscope, story))["viewer_sessions_final"]
    (viewers,) = await periscope.live.viewers(story.tenant)
    assert viewers["viewers"] == 1
