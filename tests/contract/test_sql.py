"""What `kit.sql` promises of PostgreSQL: tenants apart, schemas forward only, typed faults."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from fixtures_postgres import SAMPLE_TABLES, Open, ServicePackage, add_stream

from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit.clock import uuid7
from frameworks.kit.sql import (
    Database,
    DatabaseUnavailable,
    StatementTimeout,
    UniqueViolation,
    connect,
    savepoint,
)

A, B = uuid7(), uuid7()
PATIENCE = 60
Refused = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def db(service_package: ServicePackage, open_database: Open) -> AsyncIterator[Database]:
    """A service with one table of each kind, and one stream of tenant A."""
    service_package.migration(1, SAMPLE_TABLES)
    async with open_database(service_package.name) as opened:
        async with opened.tenant(A) as c:
            await add_stream(c, opened.schema, A, "a's")
        yield opened


async def test_a_tenant_sees_its_own_rows(db: Database) -> None:
    async with db.tenant(A) as c:
        assert await c.fetchval(f"SELECT title FROM {db.schema}.streams") == "a's"


async def test_a_tenant_sees_and_changes_nothing_of_another_even_without_a_where(db: Database) -> None:
    async with db.tenant(B) as c:
        assert await c.fetch(f"SELECT * FROM {db.schema}.streams") == []
        assert await c.execute(f"UPDATE {db.schema}.streams SET title = 'b'") == "UPDATE 0"
        assert await c.execute(f"DELETE FROM {db.schema}.streams") == "DELETE 0"
    async with db.tenant(A) as c:
        assert await c.fetchval(f"SELECT count(*) FROM {db.schema}.streams") == 1


async def test_a_tenant_can_not_write_rows_of_another(db: Database) -> None:
    with pytest.raises(Refused, match="row-level security"):
        async with db.tenant(B) as c:
            await add_stream(c, db.schema, A, "forged")
    with pytest.raises(Refused, match="row-level security"):
        async with db.tenant(A) as c:
            await c.execute(f"UPDATE {db.schema}.streams SET tenant_id = $1", B)


async def test_without_a_tenant_the_app_role_sees_nothing(
    db: Database, service_login: asyncpg.Connection
) -> None:
    async with service_login.transaction():
        await service_login.execute(f"SET LOCAL ROLE {db.schema}_app")
        assert await service_login.fetch(f"SELECT * FROM {db.schema}.streams") == []
    async with db.tenant(A):
        pass
    async with service_login.transaction():
        await service_login.execute(f"SET LOCAL app.tenant = ''; SET LOCAL ROLE {db.schema}_app")
        assert await service_login.fetch(f"SELECT * FROM {db.schema}.streams") == []


@pytest.fixture
async def service_login(db: Database) -> AsyncIterator[asyncpg.Connection]:
    """A bare connection of the service's login, outside of any role."""
    connection = await db._pool.acquire()
    yield connection
    await db._pool.release(connection)


async def test_the_login_has_no_rights_of_its_own(db: Database, service_login: asyncpg.Connection) -> None:
    for table in ("streams", "key_directory", "cursors", "clusters"):
        with pytest.raises(Refused):
            await service_login.fetch(f"SELECT * FROM {db.schema}.{table}")
    with pytest.raises(Refused):
        await service_login.fetch("SELECT frameworks.tenant_table('pg_class')")


@pytest.mark.parametrize(
    "attempt",
    [
        "ALTER TABLE {s}.streams NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE {s}.streams DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON {s}.streams",
        "TRUNCATE {s}.streams",
        "SET LOCAL ROLE frameworks",
        "ALTER ROLE {s}_app BYPASSRLS",
        "SET LOCAL row_security = off; SELECT * FROM {s}.streams",
        "SELECT * FROM {s}.cursors",
        "CREATE TABLE {s}.mine ()",
        "CREATE TABLE frameworks.mine ()",
    ],
)
async def test_the_app_role_can_not_get_around_the_fence(db: Database, attempt: str) -> None:
    with pytest.raises(Refused):
        async with db.tenant(B) as c:
            await c.execute(attempt.replace("{s}", db.schema))


async def test_the_directory_finds_any_tenant_and_reads_nothing_else(db: Database) -> None:
    async with db.tenant(A) as c:
        await c.execute(f"INSERT INTO {db.schema}.key_directory VALUES ($1, $2)", b"hash", A)
    async with db.directory() as c:
        found = await c.fetchval(f"SELECT tenant_id FROM {db.schema}.key_directory WHERE hash = $1", b"hash")
    assert found == A
    for table in ("streams", "jobs_of_all", "cursors"):
        with pytest.raises(Refused):
            async with db.directory() as c:
                await c.fetch(f"SELECT * FROM {db.schema}.{table}")


async def test_the_directory_is_read_only_and_tenants_do_not_see_each_others_entries(db: Database) -> None:
    with pytest.raises(Refused):
        async with db.directory() as c:
            await c.execute(f"DELETE FROM {db.schema}.key_directory")
    with pytest.raises(Refused):
        async with db.tenant(B) as c:
            await c.execute(f"INSERT INTO {db.schema}.key_directory VALUES ($1, $2)", b"hash", A)
    async with db.tenant(A) as c:
        await c.execute(f"INSERT INTO {db.schema}.key_directory VALUES ($1, $2)", b"hash", A)
    async with db.tenant(B) as c:
        assert await c.fetch(f"SELECT * FROM {db.schema}.key_directory") == []


async def test_the_system_role_sees_its_tables_and_named_tenant_tables_only(db: Database) -> None:
    for tenant in (A, B):
        async with db.tenant(tenant) as c:
            await c.execute(f"INSERT INTO {db.schema}.jobs_of_all VALUES ($1, $2)", tenant, uuid7())
    async with db.system() as c:
        assert await c.fetchval(f"SELECT count(*) FROM {db.schema}.jobs_of_all") == 2
        await c.execute(f"INSERT INTO {db.schema}.cursors VALUES ('x', 1)")
    for table in ("streams", "key_directory"):
        with pytest.raises(Refused):
            async with db.system() as c:
                await c.fetch(f"SELECT * FROM {db.schema}.{table}")


async def test_shared_tables_are_the_same_for_every_tenant_and_the_system(db: Database) -> None:
    async with db.tenant(A) as c:
        await c.execute(f"INSERT INTO {db.schema}.clusters VALUES ('eu')")
    async with db.tenant(B) as c:
        assert await c.fetchval(f"SELECT id FROM {db.schema}.clusters") == "eu"
    async with db.system() as c:
        assert await c.fetchval(f"SELECT id FROM {db.schema}.clusters") == "eu"


async def test_a_tenant_that_is_no_uuid_is_a_bug(db: Database) -> None:
    with pytest.raises(TypeError, match="a tenant is a UUID"):
        async with db.tenant("x'; DROP TABLE y; --"):  # type: ignore[arg-type]
            pass


async def test_values_come_back_as_they_went_in(db: Database) -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    labels = {"words": ["x", None, 1.5], "id": str(A)}
    async with db.tenant(A) as c:
        sql = f"UPDATE {db.schema}.streams SET labels = $1, created_at = $2 RETURNING *"
        row = await c.fetchrow(sql, {"words": ["x", None, 1.5], "id": A}, at)
    assert row is not None
    assert (row["labels"], row["created_at"], row["tenant_id"]) == (labels, at, A)
    assert isinstance(row["id"], UUID)
    assert row["created_at"].utcoffset() == timedelta(0)


async def test_a_block_that_raises_is_rolled_back(db: Database) -> None:
    async def fail() -> None:
        async with db.tenant(A) as c:
            await add_stream(c, db.schema, A, "never")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with db.tenant(A) as c:
        assert await c.fetchval(f"SELECT count(*) FROM {db.schema}.streams") == 1


async def test_a_block_that_swallows_an_error_is_not_called_committed(db: Database) -> None:
    async def swallow() -> None:
        async with db.tenant(A) as c:
            with suppress(asyncpg.DivisionByZeroError):
                await c.fetchval("SELECT 1 / 0")

    with pytest.raises(RuntimeError, match="swallowed"):
        await swallow()


async def test_a_cancelled_block_is_rolled_back_and_its_connection_goes_on(db: Database) -> None:
    async def hang() -> None:
        async with db.tenant(A) as c:
            await add_stream(c, db.schema, A, "never")
            inserted.set()
            await c.execute("SELECT pg_sleep(600)")

    for _ in range(6):
        inserted = asyncio.Event()
        task = asyncio.create_task(hang())
        await inserted.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    async with db.tenant(A) as c:
        assert await c.fetchval(f"SELECT count(*) FROM {db.schema}.streams") == 1


async def test_a_cancelled_block_is_cancelled_though_its_connection_breaks_meanwhile(db: Database) -> None:
    async def hang() -> None:
        async with db.tenant(A) as c:
            inside.set_result(await c.fetchval("SELECT pg_backend_pid()"))
            await c.execute("SELECT pg_sleep(600)")

    for _ in range(20):
        inside = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(hang())
        pid = await inside
        os.kill(pid, signal.SIGTERM)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def test_a_lock_lets_one_transaction_of_a_tenant_in_at_a_time(db: Database) -> None:
    inside, seen = 0, []

    async def one(tenant: UUID) -> None:
        nonlocal inside
        async with db.tenant(tenant, lock=7) as c:
            inside += tenant == A
            seen.append(inside)
            await c.execute("SELECT pg_sleep(0.02)")
            inside -= tenant == A

    async with db.tenant(B, lock=7), asyncio.timeout(PATIENCE):
        await asyncio.gather(*(one(A) for _ in range(4)))
    assert seen == [1, 1, 1, 1]


async def test_whoever_stops_waiting_for_a_lock_leaves_it_to_others(db: Database) -> None:
    async def wait() -> None:
        async with db.tenant(A, lock=7):
            pytest.fail("the lock was not free")

    async with asyncio.timeout(PATIENCE):
        async with db.tenant(A, lock=7):
            for _ in range(3):
                waiting = asyncio.create_task(wait())
                await _until_waiting(db)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
        async with db.tenant(A, lock=7) as c:
            assert await c.fetchval(f"SELECT title FROM {db.schema}.streams") == "a's"


async def _until_waiting(db: Database) -> None:
    """Somebody waits for an advisory lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    found = 0
    while not found:
        await asyncio.sleep(0.01)
        async with db.system() as c:
            found = await c.fetchval(waiting)


async def test_a_unique_violation_names_its_constraint(db: Database) -> None:
    with pytest.raises(UniqueViolation) as refused:
        async with db.tenant(B) as c:
            await add_stream(c, db.schema, B, "a's")
    assert refused.value.constraint == "streams_title"
    assert refused.value.table == "streams"


async def test_a_savepoint_lets_a_transaction_outlive_a_violation(db: Database) -> None:
    async with db.tenant(B) as c:
        await add_stream(c, db.schema, B, "before")
        with pytest.raises(UniqueViolation):
            async with savepoint(c):
                await add_stream(c, db.schema, B, "a's")
        await add_stream(c, db.schema, B, "after")
    async with db.tenant(B) as c:
        rows = await c.fetch(f"SELECT title FROM {db.schema}.streams ORDER BY title")
    assert [row["title"] for row in rows] == ["after", "before"]


async def test_a_statement_may_not_run_for_ever(database_url: str, service_package: ServicePackage) -> None:
    db = await connect(database_url, service_package.name, statement_timeout=timedelta(milliseconds=50))
    with pytest.raises(StatementTimeout):
        async with db.system() as c:
            await c.execute("SELECT pg_sleep(600)")
    await db.close()


async def test_a_session_says_whose_it_is(db: Database) -> None:
    async with db.system() as c:
        assert await c.fetchval("SHOW application_name") == f"frameworks.{db.schema}"
        assert await c.fetchval("SELECT session_user") == f"{db.schema}_login"


async def test_lost_connections_are_unavailable_and_replaced(
    tmp_path: Path, service_package: ServicePackage
) -> None:
    service_package.migration(1, SAMPLE_TABLES)
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    assert server.process is not None
    db = await connect(server.url, service_package.name)
    process = server.process

    async def interrupted() -> None:
        async with db.tenant(A) as c:
            await add_stream(c, db.schema, A, "lost")
            os.kill(process.pid or 0, signal.SIGKILL)
            await c.fetch("SELECT pg_sleep(600)")

    with pytest.raises(DatabaseUnavailable):
        await interrupted()
    await server.process.wait_ready(server.answers)
    await answers_again(db)
    async with db.tenant(A) as c:
        assert await c.fetch(f"SELECT * FROM {db.schema}.streams") == []
    await server.stop()
    with pytest.raises(DatabaseUnavailable):
        await db.ping()
    with pytest.raises(DatabaseUnavailable):
        await connect(server.url, service_package.name)
    await db.close()


async def answers_again(db: Database) -> None:
    """Connections that died unnoticed are replaced, each at the cost of one Unavailable."""
    for _ in range(8):
        try:
            return await db.ping()
        except DatabaseUnavailable:
            await asyncio.sleep(0)
    return await db.ping()


async def test_a_full_pool_is_unavailable(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frameworks.kit.sql.database.ACQUIRE_TIMEOUT", 0.05)
    async with db.system(), db.system(), db.system(), db.system():
        with pytest.raises(DatabaseUnavailable, match="busy"):
            await db.ping()
    await db.ping()
