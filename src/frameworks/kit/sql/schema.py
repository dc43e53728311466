"""A service's schema: its roles, and its numbered migrations, applied forward and once."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

from frameworks.kit import log
from frameworks.kit.sql.faults import DatabaseUnavailable, SchemaRefused
from frameworks.kit.sql.fences import fence_violations

KIT = "frameworks"
SCHEMA_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
MIGRATION_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
SCRAM_ROUNDS = 4096
CONTENDED_TRIES = 8

_BOOTSTRAP = """
CREATE SCHEMA IF NOT EXISTS frameworks;
CREATE TABLE IF NOT EXISTS frameworks.migrations (
    schema text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, number)
);
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('frameworks.migrations', 0))"
_CONTENDED = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InternalServerError,
)
"""Roles belong to the whole server: two databases that make the same one at once share no lock."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Tells whether a file was changed after it had been applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def schema_of(package: str) -> str:
    """The schema of a service is named like its package's last part."""
    name = package.rpartition(".")[2]
    if not SCHEMA_NAME.fullmatch(name) or name == KIT:
        raise ValueError(f"{package!r} names no schema")
    return name


def read_migrations(package: str) -> list[Migration]:
    """The package's migrations in order; a gap or a stray file is an error of the program."""
    directory = files(package).joinpath("migrations")
    if not directory.is_dir():
        return []
    found: list[Migration] = []
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith("__") or entry.is_dir():
            continue
        match = MIGRATION_FILE.fullmatch(entry.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise ValueError(f"{package}: {entry.name} is not migration {len(found) + 1:04d}_<name>.sql")
        found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return found


def login_password(url: str, schema: str) -> str:
    """The password of a service's login, derived from the owner's so that no process has to hand it on."""
    secret = urlsplit(url).password
    if not secret:
        raise SchemaRefused(
            "The database URL holds no password: those of the services' logins derive from it."
        )
    return hmac.digest(unquote(secret).encode(), f"frameworks login {schema}".encode(), "sha256").hex()


async def migrate(url: str, package: str) -> tuple[int, int]:
    """Bring the package's schema up to date as the owner; the version before and after."""
    schema = schema_of(package)
    migrations = read_migrations(package)
    password = login_password(url, schema)
    connection = await owner_connection(url)
    try:
        for _ in range(CONTENDED_TRIES - 1):
            with suppress(*_CONTENDED):
                return await _migrate(connection, schema, migrations, password)
        return await _migrate(connection, schema, migrations, password)
    finally:
        await connection.close()


async def set_login_password(url: str, schema: str) -> None:
    """Give the login the password that follows from the owner's, after the owner's has changed."""
    connection = await owner_connection(url)
    try:
        verifier = scram_verifier(login_password(url, schema), schema.encode())
        await connection.execute(f"ALTER ROLE {schema}_login PASSWORD '{verifier}'")
    finally:
        await connection.close()


async def owner_connection(url: str) -> Any:
    """A connection as the owner of all schemas; DatabaseUnavailable when there is no server."""
    try:
        return await asyncpg.connect(
            url, timeout=15, command_timeout=300, server_settings={"application_name": "frameworks.migrate"}
        )
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError) as error:
        raise DatabaseUnavailable(f"The database can not be reached: {error}.") from error


async def _migrate(
    connection: Any, schema: str, migrations: Sequence[Migration], password: str
) -> tuple[int, int]:
    """Everything in one transaction under one lock: it is applied as a whole, by one process."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(_BOOTSTRAP)
        await _apply(connection, KIT, read_migrations("frameworks.kit.sql"))
        await _make_roles(connection, schema, password)
        await connection.execute("SET LOCAL row_security = off")  # fail rather than overlook rows of tenants
        versions = await _apply(connection, schema, migrations)
        violations = await fence_violations(connection, schema)
        if violations:
            raise SchemaRefused("Tenants are not kept apart: " + "; ".join(violations) + ".")
    return versions


async def _apply(connection: Any, schema: str, migrations: Sequence[Migration]) -> tuple[int, int]:
    """Run what is not recorded yet, after checking that what is recorded is what we know."""
    rows = await connection.fetch(
        "SELECT number, checksum FROM frameworks.migrations WHERE schema = $1 ORDER BY number", schema
    )
    applied = {row["number"]: row["checksum"] for row in rows}
    before, known = max(applied, default=0), len(migrations)
    if before > known:
        raise SchemaRefused(
            f"The schema {schema} is at version {before}, but this program knows versions up to {known}: "
            f"start the program that wrote it, or a later one."
        )
    for migration in migrations:
        if migration.number not in applied:
            await _run(connection, schema, migration)
        elif applied[migration.number] != migration.checksum:
            raise SchemaRefused(
                f"Migration {migration.number} of {schema} was changed after it had been applied here."
            )
    return before, known


async def _run(connection: Any, schema: str, migration: Migration) -> None:
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO frameworks.migrations (schema, number, name, checksum) VALUES ($1, $2, $3, $4)",
        schema,
        migration.number,
        migration.name,
        migration.checksum,
    )
    log.get(schema).info("schema.migrated", number=migration.number, name=migration.name)


async def _make_roles(connection: Any, schema: str, password: str) -> None:
    """The login, which may do nothing itself, and the three roles it takes in transactions."""
    roles = [f"{schema}_app", f"{schema}_directory", f"{schema}_system"]
    login = f"{schema}_login"
    present = {
        row["rolname"]
        for row in await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", [*roles, login]
        )
    }
    for role in roles:
        if role not in present:
            await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    if login not in present:
        verifier = scram_verifier(password, schema.encode())
        await connection.execute(f"CREATE ROLE {login} LOGIN NOINHERIT PASSWORD '{verifier}'")
        await connection.execute(f"GRANT {', '.join(roles)} TO {login}")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {', '.join(roles)}")


def scram_verifier(password: str, salt_text: bytes) -> str:
    """What PostgreSQL stores instead of the password (RFC 5803): the password is in no statement or log."""
    salt = hashlib.sha256(salt_text + password.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ROUNDS}:{encoded[0]}${encoded[1]}:{encoded[2]}"
