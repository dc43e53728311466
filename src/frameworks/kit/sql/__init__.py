"""PostgreSQL for services: connect and migrate, transactions that take a role, faults, rows into messages."""

from frameworks.kit.sql.database import Connection, Database, Row, connect, savepoint
from frameworks.kit.sql.faults import DatabaseUnavailable, SchemaRefused, StatementTimeout, UniqueViolation
from frameworks.kit.sql.fences import fence_violations
from frameworks.kit.sql.rows import fill, mismatches
from frameworks.kit.sql.schema import migrate, read_migrations

__all__ = [
    "Connection",
    "Database",
    "DatabaseUnavailable",
    "Row",
    "SchemaRefused",
    "StatementTimeout",
    "UniqueViolation",
    "connect",
    "fence_violations",
    "fill",
    "migrate",
    "mismatches",
    "read_migrations",
    "savepoint",
]
