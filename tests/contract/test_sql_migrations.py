"""What migrations promise: forward only, as a whole, by one process, and never a hole in the fence."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from fixtures_postgres import SAMPLE_TABLES, ServicePackage, add_stream

from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit.clock import uuid7
from frameworks.kit.sql import SchemaRefused, connect, fence_violations, migrate

A, B = uuid7(), uuid7()
Refused = asyncpg.InsufficientPrivilegeError


async def test_an_older_schema_is_migrated_and_a_known_one_left_alone(
    database_url: str, service_package: ServicePackage
) -> None:
    name = service_package.migration(1, SAMPLE_TABLES).name
    assert await migrate(database_url, name) == (0, 1)
    service_package.migration(2, "ALTER TABLE {s}.streams ADD COLUMN note text")
    assert await migrate(database_url, name) == (1, 2)
    assert await migrate(database_url, name) == (2, 2)


async def test_a_newer_schema_is_refused_naming_both_versions(
    database_url: str, service_package: ServicePackage
) -> None:
    service_package.migration(1, SAMPLE_TABLES).migration(2, "SELECT 1")
    await migrate(database_url, service_package.name)
    service_package.forget(2)
    with pytest.raises(SchemaRefused, match=r"is at version 2, but this program knows versions up to 1"):
        await connect(database_url, service_package.name)


async def test_a_migration_changed_afterwards_is_refused(
    database_url: str, service_package: ServicePackage
) -> None:
    await migrate(database_url, service_package.migration(1, SAMPLE_TABLES).name)
    service_package.migration(1, SAMPLE_TABLES + "SELECT 1;")
    with pytest.raises(SchemaRefused, match=r"Migration 1 of .* was changed"):
        await migrate(database_url, service_package.name)


async def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str, service_package: ServicePackage
) -> None:
    service_package.migration(1, SAMPLE_TABLES).migration(2, "SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database_url, service_package.name)
    service_package.migration(2, "SELECT 1")
    assert await migrate(database_url, service_package.name) == (0, 2)


async def test_a_gap_in_the_numbers_is_a_bug(database_url: str, service_package: ServicePackage) -> None:
    service_package.migration(1, SAMPLE_TABLES).migration(3, "SELECT 1")
    with pytest.raises(ValueError, match="is not migration 0002"):
        await migrate(database_url, service_package.name)


async def test_many_processes_may_migrate_at_once(database_url: str, service_package: ServicePackage) -> None:
    service_package.migration(1, SAMPLE_TABLES).migration(2, "CREATE INDEX ON {s}.streams (tenant_id)")
    done = await asyncio.gather(*(migrate(database_url, service_package.name) for _ in range(6)))
    assert sorted(done) == [(0, 2)] + [(2, 2)] * 5


async def test_two_databases_of_one_server_may_be_migrated_at_once(
    postgres: EmbeddedPostgres, database_url: str, service_package: ServicePackage
) -> None:
    service_package.migration(1, SAMPLE_TABLES)
    owner = await asyncpg.connect(postgres.url)
    name = "other_" + service_package.name
    await owner.execute(f"CREATE DATABASE {name}")
    other = urlunsplit(urlsplit(database_url)._replace(path="/" + name))
    done = await asyncio.gather(*(migrate(url, service_package.name) for url in (database_url, other) * 2))
    assert sorted(done) == [(0, 1), (0, 1), (1, 1), (1, 1)]
    await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()


@pytest.fixture
async def plain_owner_url(database_url: str) -> str:
    """The DSN of an owner as hosted databases give it: CREATEROLE, but no superuser."""
    owner = await asyncpg.connect(database_url)
    role = "plain_" + uuid7().hex
    await owner.execute(f"CREATE ROLE {role} LOGIN CREATEROLE PASSWORD 'secret'")
    await owner.execute(f"ALTER DATABASE {urlsplit(database_url).path[1:]} OWNER TO {role}")
    await owner.close()
    place = urlsplit(database_url)
    return urlunsplit(place._replace(netloc=f"{role}:secret@"))


async def test_an_owner_that_is_no_superuser_will_do(
    plain_owner_url: str, service_package: ServicePackage
) -> None:
    db = await connect(plain_owner_url, service_package.migration(1, SAMPLE_TABLES).name)
    async with db.tenant(A) as c:
        await add_stream(c, db.schema, A, "a's")
    async with db.tenant(B) as c:
        assert await c.fetch(f"SELECT * FROM {db.schema}.streams") == []
    await db.close()


async def test_a_migration_that_can_not_see_the_rows_of_tenants_fails_instead_of_skipping_them(
    plain_owner_url: str, service_package: ServicePackage
) -> None:
    service_package.migration(1, SAMPLE_TABLES).migration(2, "UPDATE {s}.streams SET title = 'x'")
    with pytest.raises(Refused, match="would be affected by row-level security"):
        await migrate(plain_owner_url, service_package.name)


async def test_a_login_follows_a_changed_owner_password(
    database_url: str, service_package: ServicePackage
) -> None:
    await migrate(database_url, service_package.name)
    owner = await asyncpg.connect(database_url)
    await owner.execute(f"ALTER ROLE {service_package.name}_login PASSWORD 'of another time'")
    again = await connect(database_url, service_package.name)
    await again.ping()
    await again.close()
    await owner.close()


async def test_a_url_without_a_password_is_refused(service_package: ServicePackage) -> None:
    with pytest.raises(SchemaRefused, match="no password"):
        await migrate("postgresql://frameworks@127.0.0.1:1/x", service_package.name)


async def test_every_table_of_a_good_schema_is_fenced(
    database_url: str, service_package: ServicePackage
) -> None:
    await migrate(database_url, service_package.migration(1, SAMPLE_TABLES).name)
    owner = await asyncpg.connect(database_url)
    assert await fence_violations(owner, service_package.name) == []
    await owner.close()


@pytest.mark.parametrize(
    ("hole", "named"),
    [
        ("CREATE TABLE {s}.stray (id int)", "stray is not declared"),
        ("ALTER TABLE {s}.streams NO FORCE ROW LEVEL SECURITY", "streams has no forced row-level security"),
        ("DROP POLICY tenant ON {s}.streams", "streams has no forced row-level security"),
        ("ALTER POLICY tenant ON {s}.streams USING (true)", "streams has no forced row-level security"),
        ("CREATE POLICY other ON {s}.streams TO {s}_app USING (true)", "undeclared policy other"),
        (
            "CREATE POLICY directory ON {s}.streams TO {s}_directory USING (true)",
            "undeclared policy directory",
        ),
        ("ALTER TABLE {s}.clusters ADD COLUMN tenant_id uuid", "declared shared but has a tenant_id"),
        ("GRANT SELECT ON {s}.streams TO PUBLIC", "grants SELECT to PUBLIC"),
        ("GRANT TRUNCATE ON {s}.streams TO {s}_app", "grants TRUNCATE"),
        ("GRANT SELECT ON {s}.cursors TO {s}_app", "holds every tenant's rows"),
        (
            "CREATE VIEW {s}.every AS SELECT * FROM {s}.streams; GRANT SELECT ON {s}.every TO {s}_app",
            "every shows",
        ),
        (
            "CREATE FUNCTION {s}.peek() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "owner's rights",
        ),
    ],
)
async def test_a_migration_that_opens_the_fence_is_refused(
    database_url: str, service_package: ServicePackage, hole: str, named: str
) -> None:
    service_package.migration(1, SAMPLE_TABLES).migration(2, hole)
    with pytest.raises(SchemaRefused, match=named):
        await migrate(database_url, service_package.name)


async def test_a_tenant_table_without_a_tenant_is_refused(
    database_url: str, service_package: ServicePackage
) -> None:
    service_package.migration(1, "CREATE TABLE {s}.t (id int); SELECT frameworks.tenant_table('{s}.t')")
    with pytest.raises(asyncpg.RaiseError, match="needs a column tenant_id uuid NOT NULL"):
        await migrate(database_url, service_package.name)
