"""Every service's own migrations: each table with a tenant is behind forced row-level security."""

from pathlib import Path

import asyncpg
import pytest

import frameworks
from frameworks.kit.sql import fence_violations, migrate

ROOT = Path(frameworks.__file__).parent
PACKAGES = sorted(
    ".".join(("frameworks", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.glob("*/*/migrations")
    if any(path.glob("*.sql")) and "kit" not in path.parts
)


def test_the_services_with_tables_are_found() -> None:
    assert {"frameworks.control.commodore", "frameworks.control.quartermaster"} <= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
async def test_every_table_of_a_service_is_fenced(database_url: str, package: str) -> None:
    await migrate(database_url, package)
    owner = await asyncpg.connect(database_url)
    try:
        schema = package.rpartition(".")[2]
        assert await fence_violations(owner, schema) == []
        tables = await owner.fetch("SELECT name, kind FROM frameworks.tables WHERE schema = $1", schema)
        assert {row["kind"] for row in tables} <= {"tenant", "directory", "system", "shared"}
        assert tables
    finally:
        await owner.close()


async def test_a_table_whose_fence_was_taken_down_is_seen(database_url: str) -> None:
    await migrate(database_url, "frameworks.control.commodore")
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute("ALTER TABLE commodore.streams NO FORCE ROW LEVEL SECURITY")
        assert any("commodore.streams" in fault for fault in await fence_violations(owner, "commodore"))
    finally:
        await owner.close()
