"""One trace id from trigger to row: an encoder's broadcast, a viewer's visit, and the log lines of both."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fixtures_http import http_client
from fixtures_platform import Encoder, Platform, Tenant, eventually
from flow_processes import everywhere
from flow_stores import rows

from frameworks.kit import trace
from frameworks.kit.clock import random_hex

Encoders = Callable[..., Awaitable[Encoder]]
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ADMITTED = """SELECT trace_id FROM periscope.stream_events_v
    WHERE stream_id = {s:UUID} AND type = 'stream-ingest'"""
FOUND = "SELECT DISTINCT {column} AS what FROM periscope.{table}_v WHERE trace_id = {{trace:String}}"

pytestmark = everywhere


async def of_trace(platform: Platform, table: str, column: str, found: str) -> set[str]:
    """What the rows of one trace say in a column."""
    asked = FOUND.format(column=column, table=table)
    return {row["what"] for row in await rows(platform, asked, trace=found)}


async def stored(platform: Platform, found: str, table: str, column: str, *wanted: str) -> None:
    """Wait until a table holds these rows of a trace, and no others."""

    async def there() -> bool:
        return await of_trace(platform, table, column, found) == set(wanted)

    await eventually(there, what=f"{wanted} in {table}")


def lines_of(platform: Platform, found: str) -> set[tuple[str, str]]:
    """(service, event) of every line in the logs that names a trace."""
    text = "\n".join(path.read_text() for path in (platform.data / "logs").glob("*.log"))
    said: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if found in line]
    assert {line["trace"] for line in said} == {found}
    return {(line["service"], line["event"]) for line in said}


async def test_a_broadcast_is_one_trace_from_the_encoders_key_to_its_rows(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    await encoder.stop()
    (begun,) = await eventually(lambda: rows(platform, ADMITTED, s=stream.stream_id), what="the admission")
    states = ("admitted", "started", "live", "FULL", "tracks", "EMPTY", "offline", "ended")
    await stored(platform, begun["trace_id"], "stream_events", "status", *states)
    await stored(platform, begun["trace_id"], "stream_events", "toString(stream_id)", stream.stream_id)
    assert lines_of(platform, begun["trace_id"]) == {
        *(("mist", event) for event in ("publisher.admitted", "publisher.left")),
        *(("mist", event) for event in ("stream.started", "stream.ended", "trigger.fired")),
        *(("helmsman", event) for event in ("publish.admitted", "trigger.answered")),
        *(("commodore", event) for event in ("publisher.admitted", "publisher.released")),
    }


async def as_documented(platform: Platform, found: str) -> set[tuple[str, str]]:
    """(table, stream) of every row of a trace, by the statement of the operator's page."""
    statement = re.search(r'--data-binary "(.*?)"\n', PAGE.read_text(), re.DOTALL)
    assert statement is not None
    return {(row["_table"], row["stream_id"]) for row in await rows(platform, statement[1], trace=found)}


async def test_a_visit_is_the_viewers_own_trace_from_play_to_its_rows(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream, found = await tenant.stream(), random_hex(32)
    await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    async with http_client(timeout=10.0, headers={"traceparent": trace.header(found)}) as viewer:
        sent = await viewer.get(f"{platform.url('front')}/play/{stream.playback_id}")
        assert (await viewer.get(sent.headers["location"])).status_code == 200
    await stored(platform, found, "routing_events", "status", "redirect")
    await stored(platform, found, "stream_views", "playback_id", stream.playback_id)
    await stored(platform, found, "connection_events", "action", "connect", "disconnect")
    tables = ("routing_events", "stream_views", "connection_events")
    assert await as_documented(platform, found) == {(table, stream.stream_id) for table in tables}
    assert lines_of(platform, found) == {("mist", "trigger.fired"), ("helmsman", "trigger.answered")}
