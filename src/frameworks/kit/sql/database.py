"""A service's database: every transaction takes a role, and a tenant's transaction sees that tenant only."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import msgspec

from frameworks.kit.sql.faults import LOST, DatabaseUnavailable, translated
from frameworks.kit.sql.schema import login_password, migrate, schema_of, set_login_password

Row = Mapping[str, Any]

ACQUIRE_TIMEOUT = 10.0
ROLLBACK_TIMEOUT = 5.0
CLOSE_TIMEOUT = 10.0
IDLE_LIFETIME = 300.0


class Connection(Protocol):
    """What a store may do with a transaction: a part of asyncpg's connection."""

    async def fetch(self, query: str, *args: object) -> list[Row]:
        """All rows."""

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        """The first row, if any."""

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row, or None."""

    async def execute(self, query: str, *args: object) -> str:
        """Run it; the command tag, such as `UPDATE 3`."""

    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None:
        """Run it for each of `args`, all or none."""


class Database:
    """A bounded pool that logs in as `<schema>_login`, which may only take the service's three roles."""

    def __init__(self, pool: Any, schema: str) -> None:
        self._pool = pool
        self.schema = schema

    @asynccontextmanager
    async def tenant(self, tenant: UUID, *, lock: int | None = None) -> AsyncIterator[Connection]:
        """A transaction of one tenant: other tenants' rows neither appear nor can be written.

        With `lock`, the tenant's lock of this number is held to the end, and each statement sees what its holder
        before left.
        """
        if not isinstance(tenant, UUID):
            raise TypeError(f"a tenant is a UUID, not {type(tenant).__name__}")
        opening = f"BEGIN; SET LOCAL ROLE {self.schema}_app; SET LOCAL app.tenant = '{tenant}'"
        if lock is not None:
            opening += f"; SELECT pg_advisory_xact_lock(hashtextextended('{tenant}', {lock:d}))"
        async with self._transaction(opening) as connection:
            yield connection

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[Connection]:
        """A transaction that reads directory tables, and nothing else."""
        async with self._transaction(f"BEGIN; SET LOCAL ROLE {self.schema}_directory") as connection:
            yield connection

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Connection]:
        """A transaction across tenants: system and shared tables, and those given by `system_access`."""
        async with self._transaction(f"BEGIN; SET LOCAL ROLE {self.schema}_system") as connection:
            yield connection

    async def ping(self) -> None:
        """Raises DatabaseUnavailable when the database does not answer."""
        async with self.directory() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Let running transactions end, then close every connection."""
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_TIMEOUT)
        except LOST:
            self._pool.terminate()

    @asynccontextmanager
    async def _transaction(self, opening: str) -> AsyncIterator[Connection]:
        """One round trip to open, one to commit; a block that raises is rolled back, its error translated."""
        connection = await self._acquire()
        try:
            try:
                await connection.execute(opening)
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            if await connection.execute("COMMIT") != "COMMIT":
                raise RuntimeError("the block swallowed a database error: its transaction was rolled back")
        except BaseException as error:
            fault = translated(error, closed=_is_closed(connection))
            if fault is None:
                raise
            raise fault from error
        finally:
            # How the block ended is settled; a connection that breaks on its way back concerns the pool alone.
            with suppress(asyncpg.PostgresError, *LOST):
                await self._pool.release(connection)

    async def _acquire(self) -> Any:
        try:
            return await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
        except TimeoutError as error:
            raise DatabaseUnavailable("Every database connection is busy.", reason="pool") from error
        except (asyncpg.PostgresError, OSError, asyncpg.InterfaceError) as error:
            raise translated(error, closed=True) or error from error


@asynccontextmanager
async def savepoint(connection: Connection) -> AsyncIterator[None]:
    """A part of a transaction that may fail, raising the translated fault, while the transaction goes on."""
    await connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException as error:
        fault = translated(error, closed=False)
        if fault is None:
            raise
        if not isinstance(fault, DatabaseUnavailable):
            await connection.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        raise fault from error
    await connection.execute("RELEASE SAVEPOINT part")


async def connect(
    url: str, package: str, *, size: int = 8, statement_timeout: timedelta = timedelta(seconds=30)
) -> Database:
    """The database of the service in `package`, migrated; `url` is the owner's DSN and holds its password."""
    await migrate(url, package)
    schema = schema_of(package)
    try:
        pool = await _open(url, schema, size, statement_timeout)
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        await set_login_password(url, schema)
        pool = await _open(url, schema, size, statement_timeout)
    return Database(pool, schema)


async def _open(url: str, schema: str, size: int, statement_timeout: timedelta) -> Any:
    settings = {
        "application_name": f"frameworks.{schema}",
        "statement_timeout": str(int(statement_timeout.total_seconds() * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "timezone": "UTC",
    }
    return await asyncpg.create_pool(
        url,
        user=f"{schema}_login",
        password=login_password(url, schema),
        min_size=1,
        max_size=size,
        max_inactive_connection_lifetime=IDLE_LIFETIME,
        command_timeout=statement_timeout.total_seconds() + 5,
        server_settings=settings,
        init=_set_codecs,
        reset=_keep,
    )


async def _set_codecs(connection: Any) -> None:
    """jsonb as Python values; uuid and timestamptz (aware, UTC) are asyncpg's own."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode, decoder=msgspec.json.decode
        )


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def _keep(_connection: Any) -> None:
    """Nothing to reset, and a round trip saved: all that a transaction sets is LOCAL to it."""


def _is_closed(connection: Any) -> bool:
    """Whether the connection is gone; the pool takes one that broke out of our hands, and then says so."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _roll_back(connection: Any) -> None:
    """End the failed transaction; a connection that can not even do this is closed."""
    if _is_closed(connection):
        return
    try:
        await connection.execute("ROLLBACK", timeout=ROLLBACK_TIMEOUT)
    except (asyncpg.PostgresError, *LOST):
        _terminate(connection)
    except BaseException:
        _terminate(connection)
        raise


def _terminate(connection: Any) -> None:
    """Close it; one that broke meanwhile is the pool's already, and why its block ended must not be lost over that."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
