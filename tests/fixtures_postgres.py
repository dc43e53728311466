"""One embedded PostgreSQL for the whole test session, and databases and service packages of one's own."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest

from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit.clock import random_text, uuid7
from frameworks.kit.sql import Connection, Database, connect

Open = Callable[[str], AbstractAsyncContextManager[Database]]


SAMPLE_TABLES = """
CREATE TABLE {s}.streams (
    tenant_id uuid NOT NULL,
    id uuid PRIMARY KEY,
    title text NOT NULL CONSTRAINT streams_title UNIQUE,
    labels jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
SELECT frameworks.tenant_table('{s}.streams');

CREATE TABLE {s}.jobs_of_all (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);
SELECT frameworks.tenant_table('{s}.jobs_of_all');
SELECT frameworks.system_access('{s}.jobs_of_all');

CREATE TABLE {s}.key_directory (hash bytea PRIMARY KEY, tenant_id uuid NOT NULL);
SELECT frameworks.directory_table('{s}.key_directory');

CREATE TABLE {s}.cursors (name text PRIMARY KEY, place bigint NOT NULL);
SELECT frameworks.system_table('{s}.cursors');

CREATE TABLE {s}.clusters (id text PRIMARY KEY);
SELECT frameworks.shared_table('{s}.clusters');
"""
"""One table of each kind."""


class ServicePackage:
    """An importable package with nothing but migrations, named like no other."""

    def __init__(self, root: Path) -> None:
        self.name = "sample_" + random_text(8, "abcdefghijklmnopqrstuvwxyz")
        self._migrations = root / self.name / "migrations"
        self._migrations.mkdir(parents=True)
        (root / self.name / "__init__.py").write_text('"""A service of a test."""\n')

    def migration(self, number: int, sql: str) -> "ServicePackage":
        """Write a migration; `{s}` in it is the schema's name."""
        (self._migrations / f"{number:04d}_step.sql").write_text(sql.replace("{s}", self.name))
        return self

    def forget(self, number: int) -> None:
        """Become a program that does not know this migration yet."""
        (self._migrations / f"{number:04d}_step.sql").unlink()


async def add_stream(c: Connection, schema: str, tenant: UUID, title: str) -> UUID:
    """Insert a row of `SAMPLE_TABLES`'s streams; its id."""
    stream = uuid7()
    await c.execute(
        f"INSERT INTO {schema}.streams (tenant_id, id, title) VALUES ($1, $2, $3)", tenant, stream, title
    )
    return stream


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A running server; do not stop it, others use it."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The owner's DSN of an empty database of this test's own."""
    name = "test_" + random_text(10, "abcdefghijklmnopqrstuvwxyz")
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(postgres.url)._replace(path="/" + name))
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
def service_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServicePackage]:
    """A service package without migrations yet."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = ServicePackage(tmp_path)
    yield package
    sys.modules.pop(package.name, None)


@pytest.fixture
def open_database(database_url: str) -> Open:
    """Connects a service package to this test's database: `async with open_database(package.name) as db`."""

    @asynccontextmanager
    async def opened(package: str) -> AsyncIterator[Database]:
        db = await connect(database_url, package, size=4)
        try:
            yield db
        finally:
            await db.close()

    return opened
