"""`frameworks status`: processes that run together or apart, those that are down, and the exit code."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from typer.testing import CliRunner

from frameworks.cli.commands import app
from frameworks.cli.presence import PLACE, Present, announce, announced, withdraw
from frameworks.cli.status import Found, look
from frameworks.cli.status_table import show

NOBODY = 2**22 + 1
"""A pid beyond the kernel's largest."""
WELL: dict[str, Any] = {"status": "ok", "failing_loops": {}, "loops": [], "facts": {}}
LOOP = {"module": "signalman", "loop": "follow", "state": "failing", "restarts": 4, "last_error": "No log."}
READER = {
    "group": "periscope-ingest",
    "lag": 12_000,
    "worst_lag": 9_000,
    "worst_partition": 5,
    "last_error": "sql.unavailable",
    "reason": "The database is not available now.",
}


@asynccontextmanager
async def process(data: Path, name: str, health: Mapping[str, Any]) -> AsyncIterator[int]:
    """A process that says `health`, and left its file; its port."""
    body = json.dumps(health).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        announce(data, Present(name, os.getpid(), "127.0.0.1", port, (name,)))
        yield port


async def looked(data: Path) -> Found:
    """What the command finds."""
    return await asyncio.to_thread(look, data)


def printed(found: Found) -> str:
    """The tables as text."""
    console = Console(width=200, record=True, file=io.StringIO())
    show(found, console, every_loop=False)
    return console.export_text()


async def test_processes_apart_are_found_by_the_files_they_leave(tmp_path: Path) -> None:
    async with process(tmp_path, "decklog", WELL), process(tmp_path, "signalman", WELL):
        found = await looked(tmp_path)
    assert [(one.name, one.state) for one in found.processes] == [("decklog", "ok"), ("signalman", "ok")]
    assert found.well
    assert "Everything flows" in printed(found)


async def test_the_supervised_keep_their_names(tmp_path: Path) -> None:
    async with process(tmp_path, "demo-app", WELL) as port:
        (tmp_path / "layout.json").write_text(json.dumps({"ports": {"app_admin": port, "mist_admin": 1}}))
        found = await looked(tmp_path)
    assert [(one.name, one.state) for one in found.processes] == [("app", "ok"), ("mist", "not running")]
    assert not found.well
    assert "✗ mist is not running." in printed(found)


async def test_nobody_misses_a_process_whose_modules_run_apart(tmp_path: Path) -> None:
    (tmp_path / "layout.json").write_text(json.dumps({"ports": {"mist_admin": 1}}))
    async with process(tmp_path, "mist", WELL):
        found = await looked(tmp_path)
    assert [(one.name, one.state) for one in found.processes] == [("mist", "ok")]


async def test_a_failing_loop_is_told_with_its_error_and_what_to_do(tmp_path: Path) -> None:
    async with process(tmp_path, "signalman", WELL | {"status": "failing", "loops": [LOOP]}):
        found = await looked(tmp_path)
    text = printed(found)
    assert not found.well
    assert "The loop follow fails: No log." in text
    assert "loop.failed" in text


async def test_a_reader_that_waits_is_told_in_words_with_its_lag(tmp_path: Path) -> None:
    facts = {"ingest": {"analytics_events": READER}, "helmsman": {"node": "n", "wal_bytes": 3_000_000}}
    async with process(tmp_path, "periscope-ingest", WELL | {"facts": facts}):
        found = await looked(tmp_path)
    text = printed(found)
    assert not found.well
    for said in ("12,000", "9,000 in 5", "waits: The database is not available now.", "3.0 MB"):
        assert said in text
    assert "frameworks logs postgres" in text
    (told,) = json.loads(found.as_json())["processes"]
    assert told["readers"][0]["worst_lag"] == 9_000


async def test_warnings_do_not_fail_the_command(tmp_path: Path) -> None:
    problem = {"code": "flow.unclaimed", "message": "2 events …", "remedy": "Upgrade.", "broken": False}
    facts = {"pipeline": {"dead_letters": 0, "dirty_buckets": 3, "problems": [problem]}}
    async with process(tmp_path, "periscope-query", WELL | {"facts": facts}):
        found = await looked(tmp_path)
    assert found.well
    assert "! 2 events …" in printed(found)
    assert "buckets to roll up 3" in printed(found)


async def test_a_process_that_died_is_missed_until_one_of_its_name_runs(tmp_path: Path) -> None:
    directory = tmp_path / PLACE
    directory.mkdir(parents=True)
    left = {"name": "decklog", "pid": NOBODY, "address": "127.0.0.1", "port": 1, "modules": ["decklog"]}
    (directory / "decklog-old.json").write_text(json.dumps(left))
    (directory / "torn.json").write_text("{")
    (gone,) = (await looked(tmp_path)).processes
    assert (gone.name, gone.state) == ("decklog", "not running")
    async with process(tmp_path, "decklog", WELL):
        assert [one.state for one in (await looked(tmp_path)).processes] == ["ok"]


async def test_an_engine_that_is_down_is_named(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "port").write_text("1")
    (tmp_path / "postgres").mkdir()
    async with process(tmp_path, "app", WELL):
        found = await looked(tmp_path)
    assert [(one.name, one.state) for one in found.engines] == [
        ("postgresql", "does not answer"),
        ("nats", "does not answer"),
    ]
    assert not found.well
    assert "frameworks logs nats" in printed(found)


def test_a_withdrawn_process_is_gone(tmp_path: Path) -> None:
    announce(tmp_path, Present("mist", 1, "127.0.0.1", 9, ("mist",)))
    assert [present.name for present in announced(tmp_path)] == ["mist"]
    withdraw(tmp_path, "mist", 1)
    assert announced(tmp_path) == []


def test_the_exit_code_says_that_nothing_runs(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["status", "--data-dir", str(tmp_path), "--json"])
    assert answer.exit_code == 1
    assert json.loads(answer.output)["processes"][0]["state"] == "never started"


def test_the_help_teaches(tmp_path: Path) -> None:
    text = CliRunner().invoke(app, ["status", "--help"]).output
    assert all(word in text for word in ("PROCESSES", "READERS", "exit code"))
