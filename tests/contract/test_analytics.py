"""The analytics client: what is inserted, what is refused, and that no query leaves its scope."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit.analytics import (
    Analytics,
    BadQuery,
    BadRows,
    OutOfScope,
    Scope,
    TenantTable,
    Undeclared,
    connect,
)
from frameworks.kit.analytics.migrations import ChangedMigration, NewerStore
from frameworks.kit.clock import random_text, uuid7
from frameworks.kit.errors import Unavailable

A, B = UUID(int=0xA), UUID(int=0xB)
SCHEMA = 'syntax = "proto3"; message Fact { bytes id = 1; fixed64 at = 2; string name = 3; }'
PATIENCE = 30.0


@pytest.fixture(scope="module")
async def store(clickhouse_server: ClickHouse) -> AsyncIterator[Analytics]:
    """A database with two tenants' rows in every sort of table."""
    store = await connect(clickhouse_server.url)
    await store.command("CREATE DATABASE scoped")
    columns = "(tenant_id UUID, cluster_id String, n UInt32)"
    for table in ("facts", "others"):
        await store.command(
            f"CREATE TABLE scoped.{table} {columns} ENGINE = MergeTree ORDER BY (tenant_id, n)"
        )
    await store.command("CREATE VIEW scoped.facts_view AS SELECT * FROM scoped.facts")
    await store.command("CREATE VIEW scoped.nameless AS SELECT n FROM scoped.facts")
    await store.command(f"CREATE TABLE scoped.target {columns} ENGINE = MergeTree ORDER BY n")
    await store.command(
        "CREATE MATERIALIZED VIEW scoped.copied TO scoped.target AS SELECT * FROM scoped.facts"
    )
    await store.command("CREATE TABLE scoped.merged AS scoped.facts ENGINE = Merge('scoped', '^facts$')")
    await store.command("CREATE TABLE scoped.public (n UInt32) ENGINE = MergeTree ORDER BY n")
    await store.insert_rows("scoped.public", ["n"], [(7,)])
    rows = [(A, "east", 1), (A, "west", 2), (B, "east", 11), (B, "west", 12)]
    for table in ("facts", "others"):
        await store.insert_rows(f"scoped.{table}", ["tenant_id", "cluster_id", "n"], rows)
    names = ("facts", "others", "facts_view", "target", "copied", "merged")
    store.declare(
        *(TenantTable(f"scoped.{name}", cluster="cluster_id") for name in names if name != "others")
    )
    store.declare(TenantTable("scoped.others"))
    yield store
    await store.close()


async def numbers(store: Analytics, sql: str, scope: Scope) -> list[int]:
    """The first column, sorted."""
    return sorted(next(iter(row.values())) for row in await store.query(sql, {}, scope))


EVERYWHERE = [
    "SELECT n FROM scoped.facts",
    "SELECT f.n FROM scoped.facts AS f",
    'SELECT n FROM `scoped`."facts"',
    "SELECT n FROM scoped . /* here */ facts -- and there",
    "SELECT n FROM (SELECT * FROM scoped.facts) WHERE 1 OR tenant_id != toUUID('00000000-0000-0000-0000-00000000000a')",
    "WITH f AS (SELECT * FROM scoped.facts) SELECT n FROM f",
    "SELECT DISTINCT n FROM (SELECT n FROM scoped.facts UNION ALL SELECT n FROM scoped.others)",
    "SELECT DISTINCT b.n FROM scoped.facts AS a FULL JOIN scoped.others AS b ON a.n = b.n",
    "SELECT number FROM numbers(20) WHERE number IN (SELECT n FROM scoped.facts)",
    "SELECT number FROM numbers(20) WHERE (toUInt32(number)) IN (SELECT n FROM scoped.others WHERE 1)",
    "SELECT n FROM scoped.facts PREWHERE n > 0",
    "SELECT n FROM scoped.facts_view",
    "SELECT n FROM scoped.nameless",
    "SELECT n FROM scoped.target",
    "SELECT n FROM scoped.copied",
    "SELECT n FROM scoped.merged",
    "SELECT arrayJoin((SELECT groupArray(n) FROM scoped.facts))",
    "SELECT n FROM scoped.facts INTERSECT SELECT n FROM scoped.others",
]


@pytest.mark.parametrize("sql", EVERYWHERE)
async def test_a_tenant_sees_its_own_rows_however_it_asks(store: Analytics, sql: str) -> None:
    assert await numbers(store, sql, Scope.tenant(A)) == [1, 2]
    assert await numbers(store, sql, Scope.tenant(B)) == [11, 12]
    assert await numbers(store, sql, Scope.tenant(uuid4())) == []


@pytest.mark.parametrize("sql", EVERYWHERE)
async def test_a_table_outside_the_scope_is_refused_however_it_is_named(store: Analytics, sql: str) -> None:
    for scope in (Scope.public(), Scope.tenant(A, tables=())):
        with pytest.raises((OutOfScope, BadQuery)):
            await store.query(sql, {}, scope)


async def test_aggregates_count_only_the_tenants_rows(store: Analytics) -> None:
    asked = "SELECT count() AS c, max(n) AS m, min(n) AS l FROM scoped.facts"
    assert await store.query(asked, {}, Scope.tenant(A)) == [{"c": 2, "m": 2, "l": 1}]


async def test_a_scope_can_be_narrowed_to_tables(store: Analytics) -> None:
    scope = Scope.tenant(A, tables=["scoped.facts"])
    assert await numbers(store, "SELECT n FROM scoped.facts", scope) == [1, 2]
    with pytest.raises(OutOfScope):
        await store.query("SELECT n FROM scoped.others", {}, scope)
    with pytest.raises(OutOfScope):
        await store.query("SELECT 1", {}, Scope.tenant(A, tables=["scoped.undeclared"]))


async def test_the_owner_of_a_cluster_sees_its_clusters(store: Analytics) -> None:
    asked = "SELECT n FROM scoped.facts"
    assert await numbers(store, asked, Scope.cluster_owner(A, ["east"])) == [1, 11]
    assert await numbers(store, asked, Scope.cluster_owner(A, ["east", "west"])) == [1, 2, 11, 12]
    assert await numbers(store, asked, Scope.cluster_owner(A, [])) == []
    with pytest.raises(OutOfScope):
        await store.query("SELECT n FROM scoped.others", {}, Scope.cluster_owner(A, ["east"]))


async def test_a_cluster_id_can_not_carry_sql() -> None:
    with pytest.raises(OutOfScope):
        Scope.cluster_owner(A, ["x') OR ('1' = '1"])


async def test_everybody_may_read_what_belongs_to_nobody(store: Analytics) -> None:
    assert await numbers(store, "SELECT n FROM scoped.public", Scope.public()) == [7]


async def test_a_job_sees_every_tenant_but_says_why(store: Analytics) -> None:
    assert await numbers(store, "SELECT n FROM scoped.facts", Scope.system("rolls up")) == [1, 2, 11, 12]
    with pytest.raises(OutOfScope):
        Scope.system("")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT n FROM scoped.facts SETTINGS additional_table_filters = {}",
        "SELECT n FROM scoped.facts sEtTiNgS max_threads = 1",
        "SELECT n FROM (SELECT n FROM scoped.facts SETTINGS additional_table_filters = {})",
        "SELECT n FROM scoped.facts FORMAT JSON SETTINGS additional_table_filters = {}",
        "SELECT 1; SELECT n FROM scoped.facts",
        "SELECT * FROM merge('scoped', '^facts$')",
        "SELECT * FROM `merge`('scoped', '^facts$')",
        "SELECT * FROM mergeTreeIndex('scoped', 'facts')",
        "SELECT * FROM remote('127.0.0.1', 'scoped', 'facts')",
        "SELECT * FROM loop('scoped', 'facts')",
        "SELECT * FROM dictionary('scoped.d')",
        "SELECT dictGet('scoped.d', 'n', 1)",
        "SELECT dictGetOrDefault('scoped.d', 'n', 1, 2)",
        "SELECT joinGet('scoped.j', 'n', 1)",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
        "SELECT * FROM python('x')",
        "SELECT * FROM view(SELECT 1)",
        "SELECT * FROM {t:Identifier}",
        "SELECT * FROM system.tables",
        "SELECT * FROM `system`.tables",
        "SELECT * FROM information_schema.tables",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "INSERT INTO scoped.facts SELECT * FROM scoped.facts",
        "DROP TABLE scoped.facts",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "",
        "SELECT 'unterminated",
        "SELECT /* unterminated",
        "SELECT “n” FROM scoped.facts",
        'SELECT n FROM scoped."\\x66acts"',
    ],
)
async def test_what_could_reach_past_a_filter_is_refused(store: Analytics, sql: str) -> None:
    with pytest.raises(OutOfScope):
        await store.query(sql, {}, Scope.tenant(A))


async def test_every_source_the_engine_knows_is_refused_or_harmless(
    store: Analytics, clickhouse_server: ClickHouse
) -> None:
    rows = await store.query(
        "SELECT name FROM system.table_functions", {}, Scope.system("lists table functions")
    )
    passed = set()
    for name in (row["name"] for row in rows):
        try:
            store._declared.filters(f"SELECT * FROM {name}(1)", Scope.public())
        except OutOfScope:
            continue
        passed.add(name)
    assert passed == {"numbers", "numbers_mt", "zeros", "generate_series", "generateSeries", "values", "null"}


async def test_a_parameter_is_a_value_and_nothing_else(store: Analytics) -> None:
    for evil in (
        "' OR 1=1 --",
        "x'; DROP TABLE scoped.facts; --",
        "\\' OR 1=1 --",
        "a\tb\nc\\N",
        "{t:String}",
        "%s",
    ):
        rows = await store.query(
            "SELECT {t:String} AS t, n FROM scoped.facts WHERE cluster_id = {t:String}",
            {"t": evil},
            Scope.tenant(A),
        )
        assert rows == []
        assert await store.query("SELECT {t:String} AS t", {"t": evil}, Scope.public()) == [{"t": evil}]


async def test_a_parameter_that_the_server_would_not_bind_is_refused(store: Analytics) -> None:
    with pytest.raises(BadQuery):
        await store.query("SELECT n FROM scoped.facts WHERE cluster_id = %(t)s", {"t": "x"}, Scope.tenant(A))
    with pytest.raises(BadQuery) as caught:
        await store.query("SELECT {missing:String}", {}, Scope.tenant(A))
    assert caught.value.facts["clickhouse_code"] == 456


async def test_a_parameter_of_the_wrong_type_is_refused(store: Analytics) -> None:
    with pytest.raises(BadQuery):
        await store.query("SELECT {t:UUID}", {"t": "not a uuid"}, Scope.tenant(A))


async def test_a_table_nobody_declared_is_found(store: Analytics, clickhouse_server: ClickHouse) -> None:
    await store.check_declared("scoped")
    fresh = await connect(clickhouse_server.url)
    fresh.declare(TenantTable("scoped.facts"))
    with pytest.raises(Undeclared, match=r"scoped\.others"):
        await fresh.check_declared("scoped")
    await fresh.close()


def test_a_table_is_declared_once_and_plainly(store: Analytics) -> None:
    store.declare(TenantTable("scoped.others"))
    with pytest.raises(ValueError, match="twice"):
        store.declare(TenantTable("scoped.others", tenant="owner_id"))
    with pytest.raises(ValueError, match="plain"):
        TenantTable("others; DROP")


def fact(identity: UUID, name: bytes = b"ab") -> bytes:
    """One framed event."""
    event = (
        b"\x0a\x10"
        + identity.bytes
        + b"\x11"
        + (7).to_bytes(8, "little")
        + b"\x1a"
        + bytes([len(name)])
        + name
    )
    return b"\x0a" + bytes([len(event)]) + event


@pytest.fixture
async def facts(store: Analytics) -> str:
    """An empty table behind the view that casts protobuf's bytes to ids."""
    name = f"scoped.t_{random_text(8)}"
    await store.command(f"CREATE TABLE {name} (id UUID, name String) ENGINE = MergeTree ORDER BY id")
    await store.command(f"CREATE TABLE {name}_in (id String, at UInt64, name String) ENGINE = Null")
    cast = "reinterpretAsUUID(concat(reverse(substring(id, 1, 8)), reverse(substring(id, 9, 8))))"
    await store.command(
        f"CREATE MATERIALIZED VIEW {name}_mv TO {name} AS SELECT {cast} AS id, name FROM {name}_in"
    )
    return name


async def insert(store: Analytics, table: str, payload: bytes) -> None:
    """Insert a batch of facts."""
    await store.insert_protobuf(f"{table}_in", message="Fact", schema_text=SCHEMA, payload=payload)


async def count(store: Analytics, table: str) -> int:
    """How many rows there are."""
    return int((await store.query(f"SELECT count() AS c FROM {table}", {}, Scope.public()))[0]["c"])


async def test_protobuf_goes_in_raw_and_comes_out_typed(store: Analytics, facts: str) -> None:
    ids = sorted(uuid7() for _ in range(3000))
    await insert(store, facts, b"".join(fact(identity) for identity in ids))
    rows = await store.query(f"SELECT id FROM {facts}", {}, Scope.public())
    assert sorted(row["id"] for row in rows) == ids


async def test_an_empty_batch_inserts_nothing(store: Analytics, facts: str) -> None:
    await insert(store, facts, b"")
    assert await count(store, facts) == 0


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "cut off": lambda batch: batch[:-5],
    "garbage": lambda batch: batch[:330] + b"\xff" * 9 + batch[339:],
    "wrong length": lambda batch: batch + b"\x0a\x7f\x01",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_batch_with_a_corrupt_event_is_refused_whole(
    store: Analytics, facts: str, damage: str
) -> None:
    good = b"".join(fact(uuid7()) for _ in range(500))
    with pytest.raises(BadRows) as caught:
        await insert(store, facts, DAMAGES[damage](good))
    assert caught.value.facts["clickhouse_code"] > 0
    assert await count(store, facts) == 0


async def test_a_wrong_table_or_schema_is_not_blamed_on_the_rows(store: Analytics, facts: str) -> None:
    with pytest.raises(BadQuery):
        await insert(store, "scoped.nowhere", fact(uuid7()))
    with pytest.raises(BadQuery):
        await store.insert_protobuf(
            f"{facts}_in", message="Fact", schema_text="nonsense", payload=fact(uuid7())
        )
    with pytest.raises(BadQuery):
        await store.insert_rows("scoped.nowhere", ["n"], [(1,)])
    with pytest.raises(BadQuery):
        await store.insert_rows("scoped.public; DROP", ["n"], [(1,)])


async def test_a_row_that_does_not_fit_is_refused(store: Analytics) -> None:
    with pytest.raises(BadRows):
        await store.insert_rows("scoped.public", ["n"], [(2**40,)])
    with pytest.raises(BadRows):
        await store.insert_rows("scoped.public", ["n"], [("text",)])


async def test_a_statement_the_store_refuses_has_its_code(store: Analytics) -> None:
    with pytest.raises(BadQuery) as caught:
        await store.command("DROP TABLE scoped.nowhere")
    assert caught.value.facts["clickhouse_code"] == 60


async def test_too_little_memory_is_unavailable(store: Analytics) -> None:
    with pytest.raises(Unavailable):
        await store.command(
            "CREATE TABLE scoped.x ENGINE = Memory AS SELECT groupArray(repeat('x', 1000000)) AS x FROM numbers(2000)"
        )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of its own with two migrations."""
    name = f"service_{random_text(8)}"
    folder = tmp_path / name / "migrations" / "clickhouse"
    folder.mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    (folder / "0001_init.sql").write_text(
        f"-- a comment; with a semicolon\nCREATE TABLE IF NOT EXISTS {name}.a (s String DEFAULT ';')\n"
        f"ENGINE = MergeTree ORDER BY s;\nINSERT INTO {name}.a VALUES ('x;y');\n"
    )
    (folder / "0002_more.sql").write_text(f"ALTER TABLE {name}.a ADD COLUMN IF NOT EXISTS n UInt8;\n")
    return folder


async def test_migrations_are_applied_once(store: Analytics, package: Path) -> None:
    name = package.parent.parent.name
    await store.migrate(name)
    await store.migrate(name)
    assert await store.query(f"SELECT s, n FROM {name}.a", {}, Scope.public()) == [{"s": "x;y", "n": 0}]


async def test_a_store_newer_than_the_release_is_refused(store: Analytics, package: Path) -> None:
    name = package.parent.parent.name
    await store.migrate(name)
    (package / "0002_more.sql").unlink()
    with pytest.raises(NewerStore):
        await store.migrate(name)


async def test_an_edited_migration_is_refused(store: Analytics, package: Path) -> None:
    name = package.parent.parent.name
    await store.migrate(name)
    (package / "0001_init.sql").write_text("SELECT 1")
    with pytest.raises(ChangedMigration):
        await store.migrate(name)


async def test_a_crash_makes_it_unavailable_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path / "data")
    await server.start()
    store = await connect(server.url)
    await store.command(
        "CREATE TABLE kept (id String, at UInt64, name String) ENGINE = MergeTree ORDER BY id"
    )
    acknowledged: set[bytes] = set()
    enough = asyncio.Event()

    async def write() -> None:
        while True:
            ids = [uuid7() for _ in range(300)]
            payload = b"".join(fact(identity) for identity in ids)
            await store.insert_protobuf("kept", message="Fact", schema_text=SCHEMA, payload=payload)
            acknowledged.update(identity.bytes for identity in ids)
            if len(acknowledged) >= 9000:
                enough.set()

    writers = [asyncio.create_task(write()) for _ in range(3)]
    await asyncio.wait_for(enough.wait(), PATIENCE)
    pid = server.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    failures = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(failure).__mro__[1] for failure in failures] == [Unavailable] * 3
    await server.ready()
    rows = await store.query("SELECT hex(id) AS id FROM kept", {}, Scope.public())
    assert {bytes.fromhex(row["id"]) for row in rows} >= acknowledged
    await server.stop()
    with pytest.raises(Unavailable):
        await store.query("SELECT 1", {}, Scope.public())
    with pytest.raises(Unavailable):
        await connect(server.url)
    await store.close()


async def test_the_engine_is_loaded_only_in_its_own_process(store: Analytics) -> None:
    assert await store.ping()
    assert "chdb" not in sys.modules
