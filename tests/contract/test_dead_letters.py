"""Dead letters from the command line, over a real log: listed, shown, sent again once; and mirrored topics."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from fixtures_periscope import Periscope, new_story
from test_periscope_facts import seen, told

from frameworks.cli.letters import REPLAYED
from frameworks.contracts.framing import frame
from frameworks.contracts.topics import DEAD_LETTERS, UNREADABLE_EVENTS
from frameworks.data.periscope.consumers import Batching, Consumer
from frameworks.data.periscope.peers import DeadLetters
from frameworks.data.periscope.service.ingest import Ingest, Letter
from frameworks.engines.nats import Nats
from frameworks.kit.clock import SystemClock, random_text
from frameworks.kit.eventlog import EventLog, Outgoing, Record, connect

CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Place:
    """A log of its own, and the command line on it."""

    log: EventLog
    url: str
    topic: str

    async def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `frameworks dlq …`."""
        result = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "frameworks", "dlq", *arguments],
            env=os.environ | {"FRAMEWORKS_EVENTLOG": self.url, "COLUMNS": "300"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    async def records(self) -> list[Record]:
        """What is in the topic the letters came from."""
        return [record async for record in self.log.replay(self.topic)]


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A log with three dead letters of two tenants."""
    server = Nats(tmp_path_factory.mktemp("dlq"))
    await server.start()
    log = await connect(server.url)
    topic = "topic_" + random_text(6, "abcdef")
    await log.ensure(topic, partitions=2)
    await log.ensure(DEAD_LETTERS, partitions=1)
    await log.ensure(UNREADABLE_EVENTS, partitions=1)
    letters = [
        Letter(b"one", {"tenant_id": "a", "trace": "x"}, f"{topic}/1/5", "no event"),
        Letter(b"two", {"tenant_id": "b"}, f"{topic}/0/9", "refused by the analytics engine"),
        Letter(b"three", {"tenant_id": "b"}, f"{topic}/0/10", "no event"),
    ]
    await DeadLetters(log).bury(letters)
    yield Place(log, server.url, topic)
    await log.close()
    await server.stop()


async def test_letters_are_listed_by_tenant_reason_topic_and_time(place: Place) -> None:
    async def ids(*filters: str) -> list[str]:
        return [
            letter["letter"][-1]
            for letter in json.loads((await place.run("list", "--json", *filters)).stdout)
        ]

    asked = {
        (): ["1", "2", "3"],
        ("--tenant", "b"): ["2", "3"],
        ("--reason", "Refused"): ["2"],
        ("--topic", place.topic, "--since", "1h"): ["1", "2", "3"],
        ("--topic", "other"): [],
        ("--since", "2999-01-01"): [],
        ("--limit", "1"): ["3"],
    }
    listed = await asyncio.gather(*(ids(*filters) for filters in asked))
    assert dict(zip(asked, listed, strict=True)) == asked
    assert "refused by the analytics engine" in (await place.run("list")).stdout


async def test_a_tenants_letters_are_listed_without_a_trace_of_anothers(place: Place) -> None:
    for form in ([], ["--json"]):
        everyone = (await place.run("list", *form)).stdout
        assert f"{DEAD_LETTERS}/0/1" in everyone
        other = (await place.run("list", "--tenant", "b", *form)).stdout
        assert f"{DEAD_LETTERS}/0/2" in other
        assert f"{DEAD_LETTERS}/0/1" not in other
        assert f"{place.topic}/1/5" not in other


async def test_a_letter_is_shown_with_its_origin_headers_and_bytes(place: Place) -> None:
    shown = (await place.run("show", f"{DEAD_LETTERS}/0/1")).stdout
    assert f"{place.topic}/1/5" in shown
    assert '"trace": "x"' in shown
    assert "dead_consumer" not in shown
    assert "6f 6e 65" in shown
    assert "Not an event" in shown


async def test_a_replay_sends_bytes_and_headers_once(place: Place) -> None:
    assert "Replayed 2." in (await place.run("replay", "--tenant", "b")).stdout
    assert {record.value for record in await place.records()} == {b"two", b"three"}
    noted = [record.headers["letter"] async for record in place.log.replay(REPLAYED)]
    assert sorted(noted) == [f"{DEAD_LETTERS}/0/{number}" for number in (2, 3)]
    done = (await place.run("replay")).stdout
    assert "Replayed 1." in done
    assert "Left out 2" in done
    found = {record.value: record for record in await place.records()}
    assert found.keys() == {b"one", b"two", b"three"}
    assert (found[b"one"].partition, dict(found[b"one"].headers)) == (1, {"tenant_id": "a", "trace": "x"})
    assert "Replayed 0." in (await place.run("replay")).stdout
    assert "Replayed 1." in (await place.run("replay", f"{DEAD_LETTERS}/0/1", "--again")).stdout
    assert len(await place.records()) == 4
    listed = json.loads((await place.run("list", "--json")).stdout)
    assert all(letter["replayed"] for letter in listed)


async def test_the_same_events_on_a_mirrored_topic_change_nothing(
    periscope: Periscope, event_log: EventLog
) -> None:
    story, region = new_story(), random_text(6, "abcdef")
    home, mirrored = f"home_{region}", f"{region}.home_{region}"
    value = b"".join(frame(event.SerializeToString()) for event in told(story, 5))
    ingest = Ingest(periscope.facts, periscope.marks, periscope.state, periscope.buried)
    found = []
    for topic in (home, mirrored):
        await event_log.ensure(topic, partitions=1)
        await event_log.publish([Outgoing(topic, 0, value, {"tenant_id": str(story.tenant)})])
        consumer = Consumer(event_log, ingest, CLOCK, Batching(), topic)
        async with event_log.subscribe(topic, group=f"g{region}") as subscription:
            assert await consumer.step(subscription) == 1
            assert await subscription.lag() == 0
        await periscope.roll_up.run()
        found.append(await seen(periscope, story))
    assert found[0] == found[1]
    assert found[0]["stream_health"]
