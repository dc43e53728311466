"""Claim: a viewer's arrival is on its owner's screen within 1 s and in the history within 5 s, at the 95th percentile.

From the trigger USER_NEW at Helmsman's door: to the frame on a GraphQL subscription socket, and to the row that a
GraphQL query of the history finds (Helmsman's write-ahead log, Decklog, the event log, Signalman or Periscope and
ClickHouse, Bridge). The limit it is held against, measured by turns in the same run: a record published to the same
event log and fetched by a subscriber.

    python bench/events.py [--viewers 40]
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from running import Platform, holds, running, show
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from frameworks.kit import log
from frameworks.kit.clock import random_text
from frameworks.kit.eventlog import EventLog, Outgoing
from frameworks.kit.eventlog import connect as connect_log

SOCKET, HISTORY = 1.0, 5.0
TOPIC = "bench_events"
PLAN = {"PURSER_FREE_MAX_VIEWERS": "100000"}
SUBSCRIPTION = "subscription { liveConnectionEvents { eventType sessionId } }"
QUERY = """
    query($id: ID!, $range: TimeRangeInput!) { analytics { lifecycle {
      connectionEventsConnection(streamId: $id, timeRange: $range, page: {first: 200}, noCache: true) {
        nodes { sessionId } }
    } } }
"""


@dataclass(frozen=True)
class Shown:
    """An arrival on the owner's page: which session, and when."""

    session: str
    at: float


async def read(socket: Any, shown: "asyncio.Queue[Shown]") -> None:
    """Note every arrival, until cancelled."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "ping":
            await socket.send('{"type":"pong"}')
        elif message["type"] == "next":
            row = message["payload"]["data"]["liveConnectionEvents"]
            if row["eventType"] == "connect":
                shown.put_nowait(Shown(row["sessionId"], time.perf_counter()))


@asynccontextmanager
async def screen(platform: Platform) -> AsyncIterator["asyncio.Queue[Shown]"]:
    """The owner's open page."""
    url = platform.facts["graphql_url"].replace("http", "ws", 1) + "/ws"
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
        token = {"Authorization": f"Bearer {platform.facts['api_token']}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": token}))
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTION}}))
        shown = asyncio.Queue[Shown]()
        reading = asyncio.create_task(read(socket, shown))
        try:
            yield shown
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def arrive(client: httpx.AsyncClient, platform: Platform, stream: str) -> float:
    """Tell Helmsman of a viewer; when it was told."""
    url = f"{platform.url('media')}/cmaf/{platform.facts['playback_id']}/index.m3u8"
    lines = (stream, "127.0.0.1", random_text(8), "CMAF", url, random_text(64), "false")
    headers = platform.trigger_headers("USER_NEW")
    began = time.perf_counter()
    answer = await client.post(
        platform.trigger("USER_NEW"), content="\n".join(lines).encode(), headers=headers
    )
    answer.raise_for_status()
    return began


async def stored(client: httpx.AsyncClient, platform: Platform, session: str) -> float:
    """When a query of the history first finds the arrival."""
    now = datetime.now(UTC)
    when = {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}
    body = {"query": QUERY, "variables": {"id": platform.facts["stream_id"], "range": when}}
    headers = {"authorization": f"Bearer {platform.facts['api_token']}"}
    while True:
        answer = (await client.post(platform.facts["graphql_url"], json=body, headers=headers)).json()
        found = answer["data"]["analytics"]["lifecycle"]["connectionEventsConnection"]["nodes"]
        if any(row["sessionId"] == session for row in found):
            return time.perf_counter()
        await asyncio.sleep(0.05)


async def through_the_log(log: EventLog, subscription: Any) -> float:
    """Seconds from publishing one record to holding it."""
    began = time.perf_counter()
    record = Outgoing(TOPIC, 0, random_text(300).encode(), {}, random_text(16))
    fetching = asyncio.create_task(subscription.fetch(1, 10.0))
    await log.publish([record])
    (fetched,) = await fetching
    took = time.perf_counter() - began
    await subscription.commit([fetched])
    return took


@asynccontextmanager
async def event_log(platform: Platform) -> AsyncIterator[EventLog]:
    """The platform's event log, and a topic of our own in it."""
    home = platform.data / "nats"
    token, port = (home / "token").read_text().strip(), (home / "port").read_text().strip()
    log = await connect_log(f"nats://{token}@127.0.0.1:{port}")
    await log.ensure(TOPIC, partitions=1)
    try:
        yield log
    finally:
        await log.close()


async def measure(platform: Platform, count: int) -> bool:
    """One viewer after another; whether both claims hold."""
    on_screen, in_history, limit = list[float](), list[float](), list[float]()
    async with (
        httpx.AsyncClient(timeout=20.0, trust_env=False) as client,
        screen(platform) as shown,
        event_log(platform) as log,
        log.subscribe(TOPIC, group="bench", start="latest") as subscription,
    ):
        lines = (platform.facts["playback_id"], "127.0.0.1", "CMAF", "http://127.0.0.1/")
        rewritten = await client.post(platform.trigger("PLAY_REWRITE"), content="\n".join(lines).encode())
        stream = rewritten.text
        for _ in range(count + 2):
            began = await arrive(client, platform, stream)
            seen = await asyncio.wait_for(shown.get(), 30.0)
            on_screen.append(seen.at - began)
            in_history.append(await asyncio.wait_for(stored(client, platform, seen.session), 60.0) - began)
            limit.append(await through_the_log(log, subscription))
    bare = show("the log alone", limit[2:])
    first, second = show("on the socket", on_screen[2:]), show("in the history", in_history[2:])
    kept = (
        holds("on the socket", first, SOCKET, "s", limit=bare),
        holds("in the history", second, HISTORY, "s", limit=bare),
    )
    return all(kept)


def main() -> None:
    """Start a platform and measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--viewers", type=int, default=40)
    chosen = arguments.parse_args()
    log.setup("ERROR")
    with running(env=PLAN) as platform:
        kept = asyncio.run(measure(platform, chosen.viewers))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
