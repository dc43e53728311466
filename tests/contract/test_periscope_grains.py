"""A long range is read from days and hours with buckets at its ends: the answer is the one buckets alone give."""

import random
from typing import Any
from uuid import UUID

import pytest
from fixtures_periscope import Periscope, Story

from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.domain import BUCKET, DAY, HOUR, SECOND, Asked
from frameworks.data.periscope.service.history import Figure, History, Listed
from frameworks.data.periscope.store import grains
from frameworks.data.periscope.store.history import ClickHouseHistory
from frameworks.kit.clock import SystemClock, micros, uuid7

DAYS = 6
FIGURES = (
    *(Figure.VIEWERS, Figure.STREAM_AND_TENANT, Figure.DAYS, Figure.SUMMARIES, Figure.PLACES, Figure.USAGE),
)
LISTS = (
    *(Listed.STREAM_DAYS, Listed.TENANT_DAYS, Listed.VIEWER_HOURS, Listed.CONNECTION_HOURS),
    Listed.GEO_HOURS,
)
BUCKETS_ONLY = 1 << 62
PLACES = (("BE", "Ghent"), ("BE", "Liège"), ("NL", "Utrecht"), ("", ""))


def sessions(stories: list[Story], chance: random.Random) -> list[ev.Event]:
    """Viewers of both streams over some days, a few of them across midnight."""
    events = []
    for number in range(160):
        story, second = chance.choice(stories), chance.randrange(DAYS * 86_400)
        country, city = chance.choice(PLACES)
        viewer: Any = {
            "session_id": f"s{number}",
            "viewer_hash": f"h{chance.randrange(60)}",
            "place": ev.Place(country=country, city=city),
        }
        lasted = chance.randrange(20_000)
        opened = ev.UserConnection(action="connect", **viewer)
        closed = ev.UserConnection(
            action="disconnect", seconds=lasted, up_bytes=chance.randrange(10**9), **viewer
        )
        events.append(story.event("user-connection", second, user_connection=opened))
        events.append(story.event("user-connection", second + lasted, user_connection=closed))
        events.append(story.event("stream-view", second, stream_view=ev.StreamView(playback_id="p")))
    return events


def ranges(start: int, chance: random.Random) -> list[tuple[int, int]]:
    """Ranges that begin and end anywhere, on borders of buckets, hours and days, and beside them."""
    found = []
    for _ in range(6):
        begin, end = (chance.randrange(start - DAY, start + (DAYS + 1) * DAY) for _ in range(2))
        for width in (1, SECOND, BUCKET, HOUR, DAY):
            first, last = sorted((begin // width * width, end // width * width))
            found.append((first, last + chance.choice((1, SECOND, width))))
    return found


async def answers(past: ClickHouseHistory, tenant: UUID, asked: Asked) -> dict[str, Any]:
    """Everything that may be read from hours and days, and the number of rows in each list."""
    found: dict[str, Any] = {}
    for figure in FIGURES:
        if figure is not Figure.STREAM_AND_TENANT or asked.stream is not None:
            found[figure.value] = await past.figures(tenant, figure, asked)
    for listed in LISTS:
        page = await History(past).page(tenant, listed, asked, pb.Page(first=100))
        found[listed.value] = (page.rows, page.total)
    return found


@pytest.mark.parametrize("seed", range(2))
async def test_days_hours_and_buckets_say_what_buckets_say(periscope: Periscope, seed: int) -> None:
    chance, tenant = random.Random(seed), uuid7()
    start = micros(SystemClock().now()) // DAY * DAY - (DAYS + 4) * DAY
    stories = [Story(tenant, uuid7(), start) for _ in range(2)]
    events = sessions(stories, chance)
    chance.shuffle(events)
    mixed = ClickHouseHistory(periscope.analytics, long=0)
    plain = ClickHouseHistory(periscope.analytics, long=BUCKETS_ONLY)
    for late in (events[:300], events[300:]):
        await periscope.take(late)
        await periscope.roll_up.run()
        for first, last in ranges(start, chance)[::6]:
            stream = chance.choice((None, stories[0].stream))
            asked = Asked(first, last, stream=stream)
            assert await answers(mixed, tenant, asked) == await answers(plain, tenant, asked)


async def test_every_page_of_a_list_counts_the_whole_list(periscope: Periscope) -> None:
    tenant = uuid7()
    start = micros(SystemClock().now()) // DAY * DAY - (DAYS + 4) * DAY
    await periscope.take(sessions([Story(tenant, uuid7(), start)], random.Random(3)))
    await periscope.roll_up.run()
    asked, history = Asked(start - DAY, start + (DAYS + 1) * DAY), periscope.history
    for listed in (Listed.VIEWER_HOURS, Listed.VIEWER_SESSIONS, Listed.CONNECTION_EVENTS):
        whole = await history.page(tenant, listed, asked, pb.Page(first=500))
        first = await history.page(tenant, listed, asked, pb.Page(first=3))
        second = await history.page(tenant, listed, asked, pb.Page(first=3, after=first.cursors[-1]))
        assert [first.total, second.total] == [whole.total, whole.total]
        assert [*first.rows, *second.rows] == [*whole.rows[:6]]


def test_a_long_range_leaves_its_ends_and_its_last_hour_to_buckets() -> None:
    noon = 20_000 * DAY + 12 * HOUR
    assert grains.inside(noon + 1, noon + 9 * DAY, HOUR) == (noon, noon + 9 * DAY - HOUR)
    assert grains.inside(noon + SECOND, noon + 9 * DAY, DAY) == (20_001 * DAY, 20_009 * DAY)
    assert grains.inside(noon, noon + 9 * DAY + 1, HOUR) == (noon, noon + 9 * DAY - HOUR)
