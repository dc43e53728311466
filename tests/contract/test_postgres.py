"""What the embedded PostgreSQL promises: it starts anywhere and keeps what it acknowledged."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from frameworks.engines.postgres import (
    BIN_SETTING,
    Account,
    Binaries,
    EmbeddedPostgres,
    PostgresRefused,
    socket_directory,
)
from frameworks.kit.clock import SystemClock
from frameworks.kit.sql.faults import LOST

ACCOUNTS = [Account.choose()] + ([Account.nobody()] if os.geteuid() == 0 else [])

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from frameworks.engines.postgres import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print("serving!", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class HastyClock(SystemClock):
    """Waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        """Return at the next turn of the loop."""
        await asyncio.sleep(0)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory whose parents everybody may enter."""
    path = Path(tempfile.mkdtemp(prefix="fw"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def started(server: EmbeddedPostgres) -> AsyncIterator[EmbeddedPostgres]:
    """The server, running."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(url: str, sql: str) -> object:
    """The first value of a query in a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_it_listens_on_a_private_socket_only(postgres: EmbeddedPostgres) -> None:
    assert await ask(postgres.url, "SHOW listen_addresses") == ""
    directory = str(await ask(postgres.url, "SHOW unix_socket_directories"))
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: "nobody" if account.ids else "chosen")
async def test_data_outlives_a_stop_under_every_account(data_dir: Path, account: Account) -> None:
    server = EmbeddedPostgres(data_dir, account=account)
    async with started(server):
        await ask(server.url, "CREATE TABLE kept AS SELECT 42 AS value")
    async with started(server):
        assert await ask(server.url, "SELECT value FROM kept") == 42
    assert stat.S_IMODE((data_dir / "postgres" / "password").stat().st_mode) == 0o600


async def test_the_program_runs_without_root_rights(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.url)
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("COPY (SELECT 1) TO PROGRAM 'test \"$(id -u)\" = 0'")
    await connection.close()


async def test_a_wrong_password_is_refused(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url, password="wrong")


async def test_kill_9_while_inserting_loses_nothing_acknowledged(data_dir: Path) -> None:
    acknowledged: list[int] = []
    many = asyncio.Event()

    async def insert_until_it_breaks(url: str, start: int) -> None:
        connection = await asyncpg.connect(url)
        with suppress(asyncpg.PostgresError, *LOST):
            for number in range(start, start + 1_000_000):
                await connection.execute("INSERT INTO numbers VALUES ($1)", number)
                acknowledged.append(number)
                if len(acknowledged) == 200:
                    many.set()
        connection.terminate()

    async with started(EmbeddedPostgres(data_dir)) as server:
        assert server.process is not None
        await ask(server.url, "CREATE TABLE numbers (n bigint PRIMARY KEY)")
        writers = [asyncio.create_task(insert_until_it_breaks(server.url, w * 1_000_000)) for w in range(4)]
        await many.wait()
        death = asyncio.ensure_future(server.process.died())
        os.kill(server.process.pid or 0, signal.SIGKILL)
        await asyncio.gather(death, *writers)
        await server.process.wait_ready(server.answers, within=60)
        connection = await asyncpg.connect(server.url)
        kept = {row["n"] for row in await connection.fetch("SELECT n FROM numbers")}
        await connection.close()
    assert set(acknowledged) <= kept


async def test_a_server_whose_supervisor_was_killed_ends_and_can_be_started_again(data_dir: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    await supervisor.stdout.readuntil(b"serving!")
    supervisor.kill()
    await supervisor.wait()
    async with started(EmbeddedPostgres(data_dir)) as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_a_second_server_on_the_same_data_is_refused(data_dir: Path) -> None:
    async with started(EmbeddedPostgres(data_dir)) as first:
        with pytest.raises(PostgresRefused, match="already serves"):
            await EmbeddedPostgres(data_dir, clock=HastyClock()).start()
        assert await ask(first.url, "SELECT 1") == 1


async def test_a_lock_left_behind_whose_pid_is_now_another_program_is_removed(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    async with started(server):
        lines = (data_dir / "postgres/cluster/postmaster.pid").read_text().split("\n")
    (data_dir / "postgres/cluster/postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
    async with started(server):
        assert await ask(server.url, "SELECT 1") == 1


async def test_data_of_another_major_version_is_refused_naming_both(data_dir: Path) -> None:
    async with started(EmbeddedPostgres(data_dir)):
        pass
    own = Binaries.resolve(os.environ)
    with pytest.raises(
        PostgresRefused, match=f"made by PostgreSQL {own.major}, but .* is PostgreSQL {own.major + 1}"
    ):
        await EmbeddedPostgres(data_dir, binaries=Binaries(own.directory, own.major + 1)).start()


async def test_a_lost_password_is_refused_instead_of_replaced(data_dir: Path) -> None:
    async with started(EmbeddedPostgres(data_dir)):
        pass
    (data_dir / "postgres" / "password").unlink()
    with pytest.raises(PostgresRefused, match="password is missing"):
        await EmbeddedPostgres(data_dir).start()


async def test_an_interrupted_first_start_is_done_again(data_dir: Path) -> None:
    (data_dir / "postgres" / "cluster.new").mkdir(parents=True)
    (data_dir / "postgres" / "cluster.new" / "PG_VERSION").write_text("18\n")
    async with started(EmbeddedPostgres(data_dir)) as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_a_long_data_path_gets_a_short_socket_path(data_dir: Path) -> None:
    deep = data_dir / ("long-name-" * 6) / ("long-name-" * 6)
    async with started(EmbeddedPostgres(deep)) as server:
        directory = str(await ask(server.url, "SHOW unix_socket_directories"))
        assert directory == str(socket_directory(deep / "postgres"))
        assert os.path.dirname(directory) == "/tmp"
    with pytest.raises(FileNotFoundError):
        os.stat(directory)


async def test_tcp_is_served_on_loopback_when_asked_for(data_dir: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with started(EmbeddedPostgres(data_dir, port=port)) as server:
        assert await ask(server.tcp_url, "SHOW listen_addresses") == "127.0.0.1"
        assert await ask(server.url, "SELECT 1") == 1


def test_a_setting_that_points_nowhere_is_refused() -> None:
    with pytest.raises(PostgresRefused, match="/nowhere holds no PostgreSQL"):
        Binaries.resolve({BIN_SETTING: "/nowhere"})
