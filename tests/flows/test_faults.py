"""Faults: whatever dies under a live stream comes back by itself, and the record has every event once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
from fixtures_platform import Platform, Stream, Tenant, eventually, push
from flow_processes import children, kill
from flow_stores import count, event_ids, logged, recorded
from flow_viewer import Viewer

ME = "{ me { role tenant { id } } }"


@dataclass(frozen=True)
class Broadcast:
    """A stream that is pushed and watched throughout."""

    tenant: Tenant
    stream: Stream
    viewer: Viewer


@pytest.fixture(scope="module")
async def broadcast(platform: Platform) -> AsyncIterator[Broadcast]:
    """One broadcast for all faults: what is lost at one of them is missing at the end."""
    tenant = await platform.tenant()
    stream = await tenant.stream()
    encoder = await push(f"{platform.rtmp_url}/{stream.key}", seconds=900, persistent=True)
    await platform.live(stream.playback_id)
    async with Viewer(platform, stream.playback_id) as viewer:
        await viewer.progress()
        yield Broadcast(tenant, stream, viewer)
    encoder.process.kill()
    await encoder.process.wait()


async def measured(platform: Platform, stream: Stream) -> int:
    """How many measurements of the stream the history has; -1 while it can not be asked."""
    try:
        return await count(platform, "stream_health", "stream_id = {s:UUID}", s=stream.stream_id)
    except (httpx.HTTPError, AssertionError):
        return -1


async def recovered(platform: Platform, on_air: Broadcast) -> None:
    """Wait until media flows, history grows and the door answers."""

    async def answers() -> bool:
        try:
            me = await on_air.tenant.post(ME)
            state = (await platform.play(on_air.stream.playback_id)).get("state")
        except (ValueError, httpx.HTTPError):
            return False
        return "errors" not in me and state == "live"

    await eventually(answers, within=60.0, every=0.3, what="the door answers and the stream is live")
    await on_air.viewer.progress(within=40.0)
    before = await measured(platform, on_air.stream)

    async def grows() -> bool:
        return await measured(platform, on_air.stream) > max(before, 0)

    await eventually(grows, within=60.0, every=0.3, what="new measurements in the history")


@pytest.mark.parametrize("name", ["postgres", "nats", "clickhouse", "mist", "app"])
async def test_a_process_that_is_killed_comes_back_under_a_live_stream(
    platform: Platform, broadcast: Broadcast, name: str
) -> None:
    pid = kill(platform, name)

    async def restarted() -> bool:
        return children(platform).get(name, pid) != pid

    await eventually(restarted, what=f"a new {name}")
    await recovered(platform, broadcast)
    signed_in = Tenant(**{**vars(broadcast.tenant), "api_token": broadcast.tenant.access_token})
    assert (await signed_in.graphql(ME))["me"]["tenant"]["id"]


async def test_no_event_was_lost_or_doubled(platform: Platform, broadcast: Broadcast) -> None:
    tenant = broadcast.tenant.tenant_id
    kept = {e.event_id for e in recorded(platform, "helmsman") if str(UUID(bytes=e.tenant_id)) == tenant}
    promised = kept | {event.event_id for event in await logged(platform, tenant)}
    assert len(kept) > 10

    async def arrived() -> bool:
        return promised <= {each.bytes for each in await event_ids(platform, tenant)}

    await eventually(arrived, within=60.0, what="every event the node and the log promised")
    found = Counter(await event_ids(platform, tenant))
    assert [event for event, times in found.items() if times > 1] == []


async def test_children_die_with_their_supervisor_and_the_next_start_finds_everything(
    platform: Platform, broadcast: Broadcast
) -> None:
    assert platform.process is not None
    family = [psutil.Process(pid) for pid in children(platform).values()]
    os.kill(platform.process.pid, signal.SIGKILL)
    platform.process.wait()

    async def gone() -> bool:
        return not [child for child in family if alive(child)]

    await eventually(gone, within=30.0, what="the end of every child")
    await asyncio.to_thread(platform.start)
    await recovered(platform, broadcast)
    await test_no_event_was_lost_or_doubled(platform, broadcast)


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and was not waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def up(data: Path, offset: int) -> subprocess.CompletedProcess[str]:
    """A start that is expected to be refused."""
    return subprocess.run(
        [sys.executable, "-m", "frameworks", "up", "--data-dir", str(data), "--port-offset", str(offset)],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"COLUMNS": "500", "NO_COLOR": "1"},
    )


async def test_a_taken_port_is_named_with_a_remedy(platform: Platform, tmp_path: Path) -> None:
    refused = await asyncio.to_thread(up, tmp_path / "other", platform.offset)
    assert refused.returncode == 1
    assert f"Port {platform.port('front')} (front)" in refused.stderr
    assert "--port-offset" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_a_data_directory_in_use_is_refused(platform: Platform) -> None:
    refused = await asyncio.to_thread(up, platform.data, platform.offset + 1)
    assert refused.returncode == 1
    assert f"A platform already runs on {platform.data}" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_a_data_directory_of_a_newer_release_is_refused(platform: Platform, tmp_path: Path) -> None:
    data = tmp_path / "newer"
    data.mkdir()
    (data / "schema").write_text("99")
    refused = await asyncio.to_thread(up, data, platform.offset + 1)
    assert refused.returncode == 1
    assert "has schema 99, this release knows" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (data / "schema").read_text() == "99"


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from frameworks.kit.files import DiskRefused
from frameworks.kit.wal import WriteAheadLog

async def main() -> None:
    directory = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    log, kept = WriteAheadLog(directory), 0
    try:
        while True:
            await log.append([f"{kept:06d}".encode() * 100])
            kept += 1
    except DiskRefused as refused:
        print(refused.message, file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await log.append([f"{kept:06d}".encode() * 100])
    found = [payload[:6] for _, payload in WriteAheadLog(directory).pending(max_records=10_000, max_bytes=1 << 30)]
    assert found == [f"{number:06d}".encode() for number in range(kept + 1)], found
    print(kept)

asyncio.run(main())
"""


def test_a_full_disk_refuses_and_keeps_what_was_promised(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "wal")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "File too large. Free some space" in done.stderr
    assert int(done.stdout) > 100
