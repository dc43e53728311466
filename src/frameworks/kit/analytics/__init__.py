"""The analytics store, ClickHouse or our facade over chDB: insert, query within a scope, migrate.

Values in queries go as server-side parameters (`{tenant:UUID}`), never into the text.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from frameworks.kit import log
from frameworks.kit.analytics import migrations
from frameworks.kit.analytics.row_binary import varint
from frameworks.kit.analytics.scope import Declared, OutOfScope, Scope, TenantTable
from frameworks.kit.errors import Kind, Precondition, Refusal, Unavailable

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

__all__ = ["Analytics", "BadQuery", "BadRows", "OutOfScope", "Scope", "TenantTable", "Undeclared", "connect"]

NAME = re.compile(r"([a-z_][a-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*")
CONNECT_WITHIN = 5.0
ANSWER_WITHIN = 150.0
PART = 1024 * 1024
MOST_TYPES = 256
"""Lists of columns whose types are remembered."""
BOUNDS = {
    "readonly": 2,
    "max_execution_time": 30,
    "max_result_rows": 200_000,
    "max_result_bytes": 128 * 1024**2,
}

AWAY = frozenset(
    {
        *(74, 75, 76, 159, 164, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279),
        *(285, 286, 319, 394, 425, 516, 999, 1000, 1001, 1002),
        *(77, 172, 173, 201, 204, 225, 244, 294, 364, 439, 499, 586, 677, 692, 700, 733, 745, 749, 762, 763),
        *(774, 776, 777, 778, 1017, 1019, 1020),
    }
)
"""Codes that say not now: slow, busy, no memory, too many parts, read only, no disk, no quota, no quorum, no access."""

STATEMENT = frozenset({16, 36, 44, 46, 47, 48, 60, 62, 73, 81, 115, 119, 195, 434, 452, 456, 457, 497, 501})
"""Codes that blame the statement, the table or the schema, never a row."""


class AnalyticsAway(Unavailable):
    """The analytics store can not take this now."""

    code = "analytics.away"


class ReadOnly(AnalyticsAway):
    """It takes no writes: a replica lost its keeper, or somebody set it so."""

    code = "analytics.read_only"


class NoSpace(AnalyticsAway):
    """Its disk is full."""

    code = "analytics.no_space"


class NoMemory(AnalyticsAway):
    """It has no memory for this now."""

    code = "analytics.no_memory"


class MergesBehind(AnalyticsAway):
    """It has too many parts: its merges are behind."""

    code = "analytics.too_many_parts"


_NAMED: dict[int | None, type[AnalyticsAway]] = {
    **dict.fromkeys((164, 242, 774), ReadOnly),
    243: NoSpace,
    **dict.fromkeys((173, 241), NoMemory),
    252: MergesBehind,
}
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
"""What the system says when a write fails behind the engine's own look at the disk."""


def away(number: int | None, text: str) -> AnalyticsAway:
    """Why the store can not take this now, by ClickHouse's code and words."""
    named = NoSpace if any(words in text for words in _FULL) else _NAMED.get(number, AnalyticsAway)
    return named(f"The analytics store says not now: {text}", clickhouse_code=number)


class BadQuery(Refusal):
    """The store refused a statement; `clickhouse_code` is in the facts."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    code = "analytics.bad_query"


class BadRows(Refusal):
    """The store refused the rows, all of them (`clickhouse_code` in the facts); halve to find the bad."""

    code = "analytics.bad_rows"


class Undeclared(Precondition):
    """A table with tenants' rows that nobody declared, so no query would be filtered."""

    code = "analytics.undeclared_table"


class Analytics:
    """The store as services use it."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
        self._declared = Declared()
        self._types: dict[tuple[str, ...], Sequence[Any]] = {}
        self._log = log.get("analytics")

    def declare(self, *tables: TenantTable) -> None:
        """Say which tables hold tenants' rows; before the first query."""
        self._declared.add(tables)

    async def command(self, sql: str, params: Mapping[str, object] | None = None) -> None:
        """Run DDL or another statement without a result."""
        async with _faults(inserting=False):
            await self._client.command(sql, parameters=dict(params or {}))

    async def insert_protobuf(
        self,
        table: str,
        *,
        message: str,
        schema_text: str,
        payload: bytes,
        dedupe_token: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Insert `payload`, the bytes of a message whose field 1 repeats `message`; all of its rows or none.

        `schema_text` is one .proto file that imports nothing.
        """
        chosen = {
            **(settings or {}),
            "format_schema_source": "string",
            "format_schema": schema_text,
            "format_schema_message_name": message,
        }
        if dedupe_token:
            chosen["insert_deduplication_token"] = dedupe_token
        async with _faults(inserting=True):
            await self._client.raw_insert(
                _table(table),
                insert_block=_parts(payload, varint(len(payload))),
                fmt="ProtobufList",
                settings=chosen,
            )

    async def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert rows of Python values; all or none."""
        if not rows:
            return
        async with _faults(inserting=True):
            try:
                types = await self._column_types(_table(table), columns)
                await self._client.insert(table, rows, column_names=list(columns), column_types=types)
            except (ValueError, TypeError, AttributeError) as error:
                raise BadRows(f"A value does not fit its column: {error}.") from error

    async def insert_binary(self, table: str, columns: Sequence[str], payload: bytes) -> None:
        """Insert rows of these columns as RowBinary has them (`row_binary`); all or none."""
        async with _faults(inserting=True):
            await self._client.raw_insert(
                _table(table), list(columns), insert_block=_parts(payload), fmt="RowBinary"
            )

    async def _column_types(self, table: str, columns: Sequence[str]) -> Sequence[Any]:
        """Asked for once: a column that gets another type later still takes values of the one before."""
        key = (table, *columns)
        if key not in self._types:
            context = await self._client.create_insert_context(table, list(columns))
            if len(self._types) >= MOST_TYPES:
                self._types.clear()
            self._types[key] = context.column_types
        return self._types[key]

    async def query(self, sql: str, params: Mapping[str, object], scope: Scope) -> list[dict[str, Any]]:
        """The rows of a SELECT, filtered to `scope`; raises OutOfScope, BadQuery or Unavailable."""
        filters = self._declared.filters(sql, scope)
        _check_parameters(sql, params)
        if scope.reason:
            self._log.info("tenants.crossed", reason=scope.reason)
        settings: dict[str, Any] = dict(BOUNDS)
        if filters:
            settings["additional_table_filters"] = dict(filters)
        async with _faults(inserting=False):
            result = await self._client.query(sql, parameters=dict(params), settings=settings)
            return list(result.named_results())

    async def migrate(self, package: str) -> None:
        """Apply the package's ClickHouse migrations that are missing; the package's name is its database."""
        known = migrations.of_package(package)
        await self.command("CREATE DATABASE IF NOT EXISTS frameworks")
        await self.command(migrations.HISTORY)
        await self.command(f"CREATE DATABASE IF NOT EXISTS {_table(package.rpartition('.')[2])}")
        rows = await self.query(
            "SELECT number, digest FROM frameworks.migrations FINAL WHERE package = {package:String}",
            {"package": package},
            Scope.public(),
        )
        for migration in migrations.pending(package, known, {row["number"]: row["digest"] for row in rows}):
            for statement in migration.statements():
                await self.command(statement)
            entry = (package, migration.number, migration.name, migration.digest)
            await self.insert_rows("frameworks.migrations", ["package", "number", "name", "digest"], [entry])
            self._log.info("migration.applied", package=package, number=migration.number)

    async def check_declared(self, database: str) -> None:
        """Raise Undeclared when a table of `database` has a tenant column but was not declared."""
        rows = await self.query(
            "SELECT DISTINCT concat(database, '.', table) AS full FROM system.columns "
            "WHERE database = {database:String} AND name = 'tenant_id' AND NOT startsWith(table, '.inner')",
            {"database": database},
            Scope.system("looks for tables nobody declared"),
        )
        if missing := {str(row["full"]) for row in rows} - self._declared.names:
            raise Undeclared(f"Tables of tenants that nobody declared: {', '.join(sorted(missing))}.")

    async def ping(self) -> bool:
        """Whether the store answers."""
        return bool(await self._client.ping())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _parts(payload: bytes, head: bytes = b"") -> AsyncIterator[bytes]:
    """Both in parts: one large body costs the client three times as much."""
    yield head + payload[:PART]
    for start in range(PART, len(payload), PART):
        yield payload[start : start + PART]


def _table(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadQuery(f"No table is called {name!r}.")
    return name


def _check_parameters(sql: str, params: Mapping[str, object]) -> None:
    """Every parameter is a server-side one: the client would write others into the text itself."""
    for name in params:
        if not re.search(r"\{\s*" + re.escape(name) + r"\s*:", sql):
            raise BadQuery(f"The query has no parameter {{{name}:Type}}.")


@asynccontextmanager
async def _faults(*, inserting: bool) -> AsyncIterator[None]:
    """Translate the client's errors."""
    from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, OperationalError

    try:
        yield
    except ClickHouseError as error:
        number = getattr(error, "code", None)
        text = _sentence(str(error))
        silent = number is None and (isinstance(error, OperationalError) or "HTTP status" in str(error))
        if silent or number in AWAY:
            raise away(number, text) from error
        rows = inserting and number not in STATEMENT and (number is not None or isinstance(error, DataError))
        raise (BadRows if rows else BadQuery)(text, clickhouse_code=number) from error


def _sentence(text: str) -> str:
    return text.partition("DB::Exception: ")[2][:500] or text[:500]


async def connect(url: str, *, connections: int = 8) -> Analytics:
    """The store at `url`: `clickhouse://user:password@host:port`, or `clickhouses://` for TLS."""
    from clickhouse_connect.driver import create_async_client

    target = urlsplit(url)
    secure = target.scheme in {"clickhouses", "https"}
    async with _faults(inserting=False):
        client = await create_async_client(
            host=target.hostname,
            port=target.port or (8443 if secure else 8123),
            username=unquote(target.username or "default"),
            password=unquote(target.password or ""),
            database=target.path.strip("/") or None,
            secure=secure,
            connect_timeout=CONNECT_WITHIN,
            send_receive_timeout=ANSWER_WITHIN,
            connector_limit=connections,
            connector_limit_per_host=connections,
            tz_mode="aware",
            compress=False,
        )
    return Analytics(client)
