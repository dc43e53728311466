"""Two analytics engines: records go to their cluster's, answers merge or are refused, and are never partial."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fixtures_clickhouse import LIMITS
from fixtures_periscope import PACKAGE, SILENT_AFTER, BuriedHere, Periscope, Story, arrived, new_story

from frameworks.contracts.events_schema import SCHEMA_TEXT
from frameworks.contracts.pb import events_v1_pb2 as ev
from frameworks.contracts.pb.periscope_v1_pb2 import Page
from frameworks.data.periscope.domain import BUCKET, Asked, UsageKey
from frameworks.data.periscope.service.by_store import (
    IngestByStore,
    MetersByStore,
    NotMerged,
    PastByStore,
    StoreAway,
    Stores,
)
from frameworks.data.periscope.service.history import Figure, History, Listed
from frameworks.data.periscope.service.ingest import Arrived, Ingest
from frameworks.data.periscope.service.roll_up import GRAINS, RollUp
from frameworks.data.periscope.store.current import PostgresTurns
from frameworks.data.periscope.store.facts import ClickHouseFacts
from frameworks.data.periscope.store.history import ClickHouseHistory
from frameworks.data.periscope.store.marks import ClickHouseMarks
from frameworks.data.periscope.store.roll_ups import ClickHouseRollUps
from frameworks.data.periscope.store.tables import declared
from frameworks.data.periscope.store.usage_meters import ClickHouseMeters
from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit.analytics import Analytics, Scope, connect
from frameworks.kit.clock import SystemClock

OWN = "eu-1"


@pytest.fixture(scope="module")
async def own_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouse]:
    """The engine of a cluster that has its own."""
    server = ClickHouse(tmp_path_factory.mktemp("own"), options=LIMITS)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
async def own(own_server: ClickHouse) -> AsyncIterator[Analytics]:
    """A connection to it, migrated."""
    store = await connect(own_server.url)
    store.declare(*declared())
    await store.migrate(PACKAGE)
    yield store
    await store.close()


@dataclass
class Platform:
    """Periscope over two stores."""

    stores: Stores[Analytics]
    ingest: IngestByStore
    past: PastByStore
    meters: MetersByStore
    roll_ups: Sequence[RollUp]

    @property
    def history(self) -> History:
        """Lists and figures."""
        return History(self.past)

    async def take(self, *events: ev.Event, coarse: bool = False) -> None:
        """Ingest as Decklog cuts records: one cluster each; then roll up, to days if `coarse`."""
        await self.ingest.take(records(events, self.ingest))
        for roll_up in self.roll_ups:
            await roll_up.run(GRAINS if coarse else GRAINS[:1])

    async def count(self, store: str, story: Story) -> int:
        """The tenant's connection events in a store."""
        sql = "SELECT count() AS n FROM periscope.connection_events_v"
        rows = await self.stores[store].query(sql, {}, Scope.tenant(story.tenant))
        return int(rows[0]["n"])


def records(events: Sequence[ev.Event], ingest: IngestByStore) -> list[Arrived]:
    """A record for each cluster."""
    clusters = sorted({event.cluster_id for event in events})
    batches = {cluster: [event for event in events if event.cluster_id == cluster] for cluster in clusters}
    return [
        replace(arrived(batch), store=ingest.store_of({"tenant_id": "t", "source_cluster_id": cluster}))
        for cluster, batch in batches.items()
    ]


@pytest.fixture
def platform(periscope: Periscope, own: Analytics) -> Platform:
    """Wired as the module wires it."""
    return wired(periscope, Stores({"": periscope.analytics, OWN: own}))


def wired(periscope: Periscope, stores: Stores[Analytics]) -> Platform:
    """Periscope over these stores."""

    def ingesting(analytics: Analytics) -> Ingest:
        facts, marks = ClickHouseFacts(analytics, SCHEMA_TEXT), ClickHouseMarks(analytics)
        return Ingest(facts, marks, periscope.state, BuriedHere())

    def rolling(name: str, analytics: Analytics) -> RollUp:
        roll_ups = ClickHouseRollUps(analytics, SystemClock().now, silent_after=SILENT_AFTER)
        return RollUp(ClickHouseMarks(analytics), roll_ups, PostgresTurns(periscope.database, name))

    return Platform(
        stores,
        IngestByStore(stores.made(ingesting)),
        PastByStore(stores.made(ClickHouseHistory)),
        MetersByStore(stores.made(ClickHouseMeters)),
        [rolling(name, analytics) for name, analytics in stores.items()],
    )


def viewed(story: Story, number: int, cluster: str, second: int) -> ev.Event:
    """A viewer's session of a minute."""
    closed = ev.UserConnection(action="disconnect", session_id=f"s{number}", seconds=60, up_bytes=600)
    event = story.event("user-connection", second, node=f"node-{cluster}", user_connection=closed)
    event.cluster_id = cluster
    return event


def measured(story: Story, cluster: str, second: int, bitrate: int) -> ev.Event:
    """A sample of the stream."""
    sample = ev.StreamMetrics(bitrate_kbps=bitrate, quality_tier="720p", codec="H264")
    event = story.event("stream-metrics", second, node=f"node-{cluster}", stream_metrics=sample)
    event.cluster_id = cluster
    return event


def whole(story: Story, **narrowed: Any) -> Asked:
    """The story's hour."""
    return Asked(story.start - BUCKET, story.start + 12 * BUCKET, **narrowed)


async def test_a_record_lies_in_its_clusters_store_and_nowhere_else(platform: Platform) -> None:
    story = new_story()
    await platform.take(*(viewed(story, n, OWN if n % 3 else "default", 100 + n) for n in range(30)))
    assert (await platform.count(OWN, story), await platform.count("", story)) == (20, 10)


@pytest.mark.parametrize("backward", [False, True])
async def test_a_list_over_two_stores_is_one_list_page_by_page(platform: Platform, backward: bool) -> None:
    story = new_story()
    # Equal instants in both stores: the order is then by id.
    events = [viewed(story, n, OWN if n % 2 else "default", 100 + n // 4) for n in range(31)]
    await platform.take(*events)
    expected = sorted(((e.occurred_at, e.user_connection.session_id) for e in events), reverse=True)
    found: list[Any] = []
    cursor = ""
    while True:
        page = await platform.history.page(
            story.tenant,
            Listed.CONNECTION_EVENTS,
            whole(story),
            Page(last=7, before=cursor) if backward else Page(first=7, after=cursor),
        )
        assert page.total == 31
        found = [*page.rows, *found] if backward else [*found, *page.rows]
        cursor = page.cursors[0] if backward else page.cursors[-1]
        if not (page.has_previous if backward else page.has_next):
            break
    assert [row["at"] for row in found] == [at for at, _ in expected]
    assert sorted(row["session_id"] for row in found) == sorted(name for _, name in expected)
    assert [(row["at"], row["id"]) for row in found] == sorted(
        ((row["at"], row["id"]) for row in found), reverse=True
    )


async def test_sums_of_a_stream_that_moved_add_up_and_series_stand_side_by_side(platform: Platform) -> None:
    story = new_story()
    await platform.take(
        *(measured(story, "default", n * 10, 1000) for n in range(30)),
        *(measured(story, OWN, 600 + n * 10, 3000) for n in range(30)),
    )
    health = await platform.history.one(story.tenant, Figure.HEALTH, whole(story, stream=story.stream))
    assert (health["samples"], health["bitrate_kbps_sum"]) == (60, 30 * 4000)
    assert health["tiers_us"] == {"720p": 600_000_000}
    _, series = await platform.history.series(story.tenant, whole(story, stream=story.stream), 65)
    assert {row["bitrate_kbps"] for row in series} == {1000, 3000}
    assert [row["at"] for row in series] == sorted(row["at"] for row in series)


async def test_what_can_not_be_merged_is_refused_and_answered_for_one_cluster(platform: Platform) -> None:
    story = new_story()
    sessions = [viewed(story, n, OWN if n % 3 else "default", 100 + n) for n in range(9)]
    await platform.take(*sessions, coarse=True)
    with pytest.raises(NotMerged, match="one cluster"):
        await platform.history.one(story.tenant, Figure.VIEWERS, whole(story))
    for cluster, closed in ((OWN, 6), ("default", 3)):
        found = await platform.history.one(story.tenant, Figure.VIEWERS, whole(story, cluster=cluster))
        assert (found["total_sessions"], found["unique_viewers"]) == (closed, closed)
    with pytest.raises(NotMerged):
        await platform.history.page(story.tenant, Listed.TENANT_DAYS, whole(story), Page())


async def test_a_tenant_in_one_store_is_answered_exactly_without_naming_it(platform: Platform) -> None:
    for cluster in (OWN, "default"):
        story = new_story()
        await platform.take(*(viewed(story, n, cluster, 100 + n) for n in range(5)), coarse=True)
        found = await platform.history.one(story.tenant, Figure.VIEWERS, whole(story))
        assert (found["total_sessions"], found["unique_viewers"]) == (5, 5)
        days = await platform.history.page(story.tenant, Listed.TENANT_DAYS, whole(story), Page())
        assert sum(row["unique_viewers"] for row in days.rows) >= 5


async def test_streams_of_two_stores_are_ranked_together(platform: Platform) -> None:
    story = new_story()
    other = Story(story.tenant, new_story().stream, story.start)
    await platform.take(
        *(viewed(story, n, OWN, 100 + n) for n in range(4)),
        *(viewed(other, n, "default", 100 + n) for n in range(9)),
    )
    found = await platform.history.summaries(story.tenant, whole(story), Page(), by="", ascending=False)
    assert [(row["stream_id"], row["egress_bytes"]) for row in found.rows] == [
        (str(other.stream), 5400),
        (str(story.stream), 2400),
    ]


async def test_usage_is_measured_where_the_clusters_facts_are(platform: Platform) -> None:
    story = new_story()
    await platform.take(viewed(story, 1, OWN, 100), viewed(story, 2, "default", 100))
    for cluster in (OWN, "default"):
        key = UsageKey(story.tenant, cluster, story.start)
        found = await platform.meters.measure([key])
        assert found[key] == {"viewer_seconds": 60, "egress_bytes": 600, "peak_viewers": 1}


async def test_a_store_that_is_away_makes_the_answer_unavailable_unless_it_is_not_asked(
    periscope: Periscope, tmp_path: Path
) -> None:
    server = ClickHouse(tmp_path, options=LIMITS)
    await server.start()
    own = await connect(server.url)
    own.declare(*declared())
    await own.migrate(PACKAGE)
    platform = wired(periscope, Stores({"": periscope.analytics, OWN: own}))
    story = new_story()
    await platform.take(viewed(story, 1, OWN, 100), viewed(story, 2, "default", 100))
    await server.stop()
    for asking in (
        platform.history.page(story.tenant, Listed.CONNECTION_EVENTS, whole(story), Page()),
        platform.history.one(story.tenant, Figure.VIEWERS, whole(story)),
        platform.past.latest(story.tenant, [story.stream], story.start),
        platform.past.pipeline(),
        platform.meters.measure([UsageKey(story.tenant, OWN, story.start)]),
        platform.ingest.take(
            records([viewed(story, 3, "default", 200), viewed(story, 4, OWN, 200)], platform.ingest)
        ),
    ):
        with pytest.raises(StoreAway, match=OWN):
            await asking
    page = await platform.history.page(
        story.tenant, Listed.CONNECTION_EVENTS, whole(story, cluster="default"), Page()
    )
    assert {row["session_id"] for row in page.rows} <= {"s2", "s3"}
    await own.close()
