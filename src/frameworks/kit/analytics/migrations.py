"""Numbered migrations of the analytics store: `migrations/clickhouse/0001_<name>.sql` in a service's package.

ClickHouse has no transactions for DDL: write every statement so that it can run again (`IF NOT EXISTS`).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from frameworks.kit.clickhouse_sql import Sort, tokens
from frameworks.kit.errors import Precondition

FILE = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")

HISTORY = """
CREATE TABLE IF NOT EXISTS frameworks.migrations (
    package String, number UInt32, name String, digest String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
) ENGINE = ReplacingMergeTree ORDER BY (package, number)
"""


class NewerStore(Precondition):
    """The store was migrated by a newer release; this one must not touch it."""

    code = "analytics.newer_store"


class ChangedMigration(Precondition):
    """An applied migration differs from its file: migrations are never edited, add another."""

    code = "analytics.changed_migration"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """What tells an edited file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self) -> Iterator[str]:
        """The statements between semicolons."""
        start = 0
        for token in tokens(self.sql):
            if token.sort is Sort.SIGN and token.text == ";":
                if self.sql[start : token.start].strip():
                    yield self.sql[start : token.start].strip()
                start = token.end
        if next(tokens(self.sql[start:]), None) is not None:
            yield self.sql[start:].strip()


def of_package(package: str) -> list[Migration]:
    """The package's migrations in order; their numbers are 1, 2, 3 …"""
    folder = files(package).joinpath("migrations", "clickhouse")
    found = []
    for file in folder.iterdir():
        if match := FILE.fullmatch(file.name):
            found.append(Migration(int(match["number"]), match["name"], file.read_text()))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the ClickHouse migrations of {package} are not numbered 1, 2, 3 …")
    return found


def pending(package: str, known: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """What is to be applied; raises NewerStore or ChangedMigration when history and files disagree."""
    if newer := [number for number in applied if number > len(known)]:
        raise NewerStore(
            f"The analytics store has migration {max(newer)} of {package}, newer than this release."
        )
    for migration in known:
        if applied.get(migration.number, migration.digest) != migration.digest:
            raise ChangedMigration(
                f"Migration {migration.number} of {package} was edited after it was applied."
            )
    return [migration for migration in known if migration.number not in applied]
