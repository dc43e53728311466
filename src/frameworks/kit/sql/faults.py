"""What asyncpg raises, as the faults the rest of the code knows."""

from typing import ClassVar

import asyncpg

from frameworks.kit.errors import Conflict, Fault, Kind, Precondition, Unavailable


class DatabaseUnavailable(Unavailable):
    """The database is away, restarting, full or overloaded: nothing is known to be written; try again."""

    code = "sql.unavailable"


class StatementTimeout(Unavailable):
    """A statement ran longer than it may; it was rolled back."""

    kind = Kind.TIMEOUT
    code = "sql.timeout"


class UniqueViolation(Conflict):
    """A row with this key exists; stores that expect it catch it and look at `constraint`."""

    code = "sql.unique"

    def __init__(self, constraint: str, table: str) -> None:
        super().__init__("This exists already.", constraint=constraint, table=table)
        self.constraint = constraint
        self.table = table


class SchemaRefused(Precondition):
    """The database and this program do not fit together; the message says which side to change."""

    code: ClassVar[str] = "sql.schema_refused"


_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCachedStatementError,
)
LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a lost connection also looks like; a fault of ours only once the connection is known to be closed."""


def translated(error: BaseException, *, closed: bool) -> Fault | None:
    """The fault that `error` means, or None when it is none of the database's."""
    if isinstance(error, (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError)):
        return UniqueViolation(error.constraint_name or "", error.table_name or "")
    if isinstance(error, asyncpg.QueryCanceledError):
        return StatementTimeout("The database took too long.")
    if isinstance(error, _AWAY) or (closed and isinstance(error, LOST)):
        return DatabaseUnavailable("The database is not available now.", reason=type(error).__name__)
    return None
