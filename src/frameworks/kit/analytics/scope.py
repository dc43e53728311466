"""Who may read what in the analytics store: each query carries a scope, each tenant table a filter.

Two fences. A query's text is refused when it names a tenant table outside its scope, or uses anything that
could reach past a filter (a table function, a dictionary, SETTINGS, another statement). And the engine
filters every declared table (`additional_table_filters`): by tenant or cluster inside the scope, with an
error outside it, so that a view over such a table does not open it either.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, assert_never
from uuid import UUID

from frameworks.kit.clickhouse_sql import Sort, Token, Unreadable, tokens
from frameworks.kit.errors import Kind, Refusal

TABLE = re.compile(r"[a-z_][a-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
CLUSTER = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
OUTSIDE = "throwIf(1, 'outside the scope of this query')"

HARMLESS_SOURCES = frozenset(
    {"numbers", "numbers_mt", "zeros", "generate_series", "generateSeries", "values", "null"}
)
SOURCES = frozenset(
    {
        *("SQLStandardValues", "arrowstream", "cluster", "clusterAllReplicas", "cosn", "dictionary", "eval"),
        *(
            "executable",
            "file",
            "filesystem",
            "fuzzJSON",
            "fuzzQuery",
            "gcs",
            "generateRandom",
            "hdfs",
            "hudi",
        ),
        *(
            "iceberg",
            "input",
            "jdbc",
            "loop",
            "merge",
            "mongodb",
            "mysql",
            "odbc",
            "oss",
            "paimon",
            "postgresql",
        ),
        *(
            "primes",
            "prometheusQuery",
            "prometheusQueryRange",
            "python",
            "redis",
            "remote",
            "remoteSecure",
            "s3",
        ),
        *("sqlite", "url", "view", "viewExplain", "viewIfPermitted", "ytsaurus", "bigquery", "format"),
        *("joinGet", "joinGetOrNull", "executeQuery", "zeros_mt"),
    }
)
SOURCE_FAMILIES = re.compile(
    r"(mergeTree|timeSeries|deltaLake|iceberg|paimon|hudi|hdfs|s3|gcs|url|file|azureBlob|dictGet|dictHas|dictIs).*"
)
FORBIDDEN_WORDS = frozenset({"SETTINGS", "OUTFILE", "INFILE", "FORMAT", "IDENTIFIER"})
SYSTEM_DATABASES = frozenset({"system", "information_schema", "INFORMATION_SCHEMA"})


class OutOfScope(Refusal):
    """A query that could see more than its scope; always a mistake in our own code."""

    kind: ClassVar[Kind] = Kind.FORBIDDEN
    code = "analytics.out_of_scope"


@dataclass(frozen=True, slots=True)
class TenantTable:
    """A table or view of tenants' rows; `cluster` names the column by which a cluster's owner reads it."""

    name: str
    tenant: str = "tenant_id"
    cluster: str | None = None

    def __post_init__(self) -> None:
        if not TABLE.fullmatch(self.name) or not all(
            COLUMN.fullmatch(c) for c in (self.tenant, self.cluster or "x")
        ):
            raise ValueError(f"write a tenant table as database.table with plain columns, not {self}")


class Reader(Enum):
    """On whose behalf a query reads."""

    TENANT = "tenant"
    CLUSTER_OWNER = "cluster_owner"
    PUBLIC = "public"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Scope:
    """What one query may read; `tables` narrows it to these tenant tables, None means all that fit."""

    reader: Reader
    tenant_id: UUID | None = None
    clusters: tuple[str, ...] = ()
    tables: frozenset[str] | None = None
    reason: str = ""

    @staticmethod
    def tenant(tenant: UUID, tables: Iterable[str] | None = None) -> "Scope":
        """The rows of one tenant."""
        return Scope(Reader.TENANT, tenant_id=UUID(str(tenant)), tables=_set(tables))

    @staticmethod
    def cluster_owner(tenant: UUID, clusters: Iterable[str], tables: Iterable[str] | None = None) -> "Scope":
        """The rows of the owner's clusters, in tables that have a cluster column; no clusters, no rows."""
        names = tuple(clusters)
        if not all(CLUSTER.fullmatch(name) for name in names):
            raise OutOfScope("Not a cluster id.")
        return Scope(Reader.CLUSTER_OWNER, tenant_id=UUID(str(tenant)), clusters=names, tables=_set(tables))

    @staticmethod
    def public() -> "Scope":
        """No tenant's table at all."""
        return Scope(Reader.PUBLIC)

    @staticmethod
    def system(reason: str) -> "Scope":
        """Every row of every tenant, for jobs; the reason is logged."""
        if not reason:
            raise OutOfScope("Reading across tenants needs a reason.")
        return Scope(Reader.SYSTEM, reason=reason)

    def filter(self, table: TenantTable) -> str | None:
        """The condition for rows of `table`; None for all of them."""
        inside = self.tables is None or table.name in self.tables
        match self.reader:
            case Reader.SYSTEM:
                return None
            case Reader.TENANT:
                return f"{table.tenant} = toUUID('{self.tenant_id}')" if inside else OUTSIDE
            case Reader.CLUSTER_OWNER:
                listed = ", ".join(f"'{name}'" for name in self.clusters)
                condition = f"{table.cluster} IN ({listed})" if listed else "0"
                return condition if inside and table.cluster is not None else OUTSIDE
            case Reader.PUBLIC:
                return OUTSIDE
        assert_never(self.reader)


def _set(tables: Iterable[str] | None) -> frozenset[str] | None:
    return None if tables is None else frozenset(tables)


class Declared:
    """The tenant tables that exist, declared by the services that own them."""

    def __init__(self) -> None:
        self._tables: dict[str, TenantTable] = {}

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._tables)

    def add(self, tables: Iterable[TenantTable]) -> None:
        """Declare; the same again is fine, a different declaration of a known table is a bug."""
        for table in tables:
            if self._tables.setdefault(table.name, table) != table:
                raise ValueError(f"{table.name} is declared twice, differently")

    def filters(self, sql: str, scope: Scope) -> Mapping[str, str]:
        """The filters to send with `sql`; OutOfScope when it is not a plain SELECT within the scope."""
        if scope.tables is not None and (unknown := scope.tables - self.names):
            raise OutOfScope(f"The scope names tables nobody declared: {', '.join(sorted(unknown))}.")
        conditions = {name: scope.filter(table) for name, table in self._tables.items()}
        outside = {name.partition(".")[2] for name, condition in conditions.items() if condition == OUTSIDE}
        _check(sql, outside, system=scope.reader is Reader.SYSTEM)
        return {name: condition for name, condition in conditions.items() if condition is not None}


def _check(sql: str, outside: set[str], *, system: bool) -> None:
    try:
        found = list(tokens(sql))
    except Unreadable as error:
        raise OutOfScope(error.message) from error
    first = next((token.keyword for token in found if token.text != "("), "")
    if first not in {"SELECT", "WITH"}:
        raise OutOfScope("Only a SELECT can be a query.")
    for position, token in enumerate(found):
        following = found[position + 1].text if position + 1 < len(found) else ""
        _check_token(token, following)
        if token.sort not in {Sort.WORD, Sort.QUOTED}:
            continue
        if token.text in outside:
            raise OutOfScope(f"{token.text} is outside the scope of this query.")
        if not system and following == "." and token.text in SYSTEM_DATABASES:
            raise OutOfScope("System tables are outside the scope of this query.")


def _check_token(token: Token, following: str) -> None:
    """Refuse what reaches past the filters, whoever asks."""
    if token.sort is Sort.SIGN and (token.text == ";" or not token.text.isascii()):
        raise OutOfScope("A query is one statement, ASCII outside quotes.")
    if token.sort is Sort.QUOTED and ("\\" in token.text or not token.text.isascii()):
        raise OutOfScope("A quoted name is ASCII without escapes.")
    if token.keyword in FORBIDDEN_WORDS and following != "(":
        raise OutOfScope(f"{token.keyword} is not for queries.")
    name = token.text if token.sort in {Sort.WORD, Sort.QUOTED} and following == "(" else ""
    if name and name not in HARMLESS_SOURCES and (name in SOURCES or SOURCE_FAMILIES.fullmatch(name)):
        raise OutOfScope(f"{name} could read past the filters.")
