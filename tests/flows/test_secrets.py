"""What must not lie about: keys, passwords, token secrets and viewers' addresses, in any file and in the topic."""

import mmap
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from fixtures_http import http_client
from fixtures_platform import Encoder, Platform, Tenant, eventually
from flow_stores import count, eventlog, rows, state

from frameworks.contracts.topics import ANALYTICS_EVENTS

Encoders = Callable[..., Awaitable[Encoder]]

VIEWER = "198.51.100.77"
"""An address of the documentation range: whatever holds it got it from the viewer."""
TOLD = frozenset({"demo.json"})
"""The one file that is there to tell its owner, readable for nobody else."""


async def watch_from(platform: Platform, playback_id: str) -> None:
    """One viewer, whom a proxy on this machine says to be at `VIEWER`."""
    headers = {"x-forwarded-for": VIEWER, "user-agent": "secrets/1"}
    async with http_client(headers=headers, follow_redirects=True, timeout=10.0) as client:
        master = await client.get(f"{platform.url('front')}/play/{playback_id}")
        assert master.text.startswith("#EXTM3U")
        path = master.text.strip().splitlines()[-1]
        assert (await client.get(str(master.url.join(path)))).status_code == 200


def files(root: Path) -> Iterator[Path]:
    """Every regular file with something in it; the engines go on making and removing them meanwhile."""
    for place, _, names in os.walk(root):  # passes over a directory that is gone by now
        for path in (Path(place, name) for name in names if name not in TOLD):
            with suppress(FileNotFoundError):
                seen = path.lstat()
                if stat.S_ISREG(seen.st_mode) and seen.st_size:
                    yield path


def found_in(path: Path, secrets: dict[str, bytes]) -> list[str]:
    """Which of the secrets are in a file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return [name for name, secret in secrets.items() if content.find(secret) >= 0]
    except (FileNotFoundError, ValueError):
        return []


async def test_no_secret_and_no_address_is_kept(
    platform: Platform, tenant: Tenant, encoders: Encoders
) -> None:
    stream = await tenant.stream()
    encoder = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)
    refused = await encoders(f"{platform.rtmp_url}/{stream.key}")
    await refused.ended()
    await watch_from(platform, stream.playback_id)
    await encoder.stop()

    async def over() -> bool:
        seen = await count(platform, "connection_events", "stream_id = {s:UUID}", s=stream.stream_id)
        return seen == 2 and (await state(platform, stream.stream_id)).get("state") == "ended"

    await eventually(over, within=40.0, what="the broadcast in the history")
    facts = platform.facts
    secrets = {
        "stream key": stream.key.encode(),
        "demo stream key": facts["stream_key"].encode(),
        "password": tenant.password.encode(),
        "demo password": facts["password"].encode(),
        "API token": tenant.api_token.rpartition("_")[2].encode(),
        "demo API token": facts["api_token"].rpartition("_")[2].encode(),
        "viewer's address": VIEWER.encode(),
        "access token": tenant.access_token.rpartition(".")[2].encode(),
    }
    looked_at = list(files(platform.data))
    assert len(looked_at) > 100
    leaks = {str(path): names for path in looked_at if (names := found_in(path, secrets))}
    assert leaks == {}
    assert found_in(platform.data / "demo.json", secrets) != []
    assert (platform.data / "demo.json").stat().st_mode & 0o077 == 0
    assert "stream_events" in await tables_with(platform, stream.stream_id.encode())
    assert await tables_with(platform, *secrets.values()) == []
    async with eventlog(platform) as log:
        records = [record async for record in log.replay(ANALYTICS_EVENTS)]
    assert [name for name, secret in secrets.items() if any(secret in r.value for r in records)] == []


async def tables_with(platform: Platform, *words: bytes) -> list[str]:
    """Tables with any of these words in a row: ClickHouse compresses its files, so its rows are asked for."""
    tables = await rows(
        platform, "SELECT name FROM system.tables WHERE database = 'periscope' AND engine LIKE '%MergeTree'"
    )
    assert len(tables) > 5
    wanted = f"[{','.join(repr(word.decode()) for word in words)}]"
    found = []
    for table in tables:
        where = "multiSearchAny(toString(tuple(*)), {words:Array(String)})"
        sql = f"SELECT count() AS n FROM periscope.{table['name']} WHERE {where}"
        if int((await rows(platform, sql, words=wanted))[0]["n"]):
            found.append(table["name"])
    return found
