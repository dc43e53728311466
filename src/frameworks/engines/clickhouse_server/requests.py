"""From an HTTP request to what the engine is asked. No I/O, but for schema files."""

import gzip
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import lz4.frame
from backports import zstd

from frameworks.engines.clickhouse_server import allowed
from frameworks.engines.clickhouse_server.problems import (
    BAD_ARGUMENTS,
    NO_COMPRESSION,
    NOT_IMPLEMENTED,
    READONLY,
    SYNTAX_ERROR,
    TOO_LARGE,
    problem,
)
from frameworks.kit.clickhouse_sql import Sort, Token, Unreadable, insert_head, tokens

SCHEMA = re.compile(r"(?P<file>[A-Za-z0-9_][A-Za-z0-9_.-]*?)(\.proto)?:(?P<message>[A-Za-z0-9_.]+)")
READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"})
STATEFUL = frozenset(
    {"SET", "USE", "BEGIN", "COMMIT", "ROLLBACK", "ATTACH", "DETACH", "SYSTEM", "BACKUP", "RESTORE"}
)
HEAD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to do: an INSERT has `rows` and `input_format`; what `streams` may come in parts."""

    sql: str
    input_format: str = ""
    rows: bytes = b""
    output_format: str = "TabSeparated"
    reads: bool = False
    streams: bool = False
    database: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


STREAMABLE = frozenset({"Native", "JSONEachRow", "TabSeparated", "TSV", "CSV", "RowBinary"})


def read(
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    schemas: Path,
    limits: Mapping[str, int],
) -> Work:
    """What the request asks for; raises Problem for what a real server would refuse, or what we do not do."""
    settings, parameters = _settings(query, schemas)
    settings = allowed.capped(settings, limits)
    database = query.get("database") or headers.get("x-clickhouse-database") or "default"
    default = query.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"
    if not re.fullmatch(r"\w{1,64}", default):
        raise problem(BAD_ARGUMENTS, "No such format.", "BAD_ARGUMENTS")
    work = _statement(query.get("query", ""), body, default)
    if not work.reads and query.get("readonly", "0") not in {"", "0"}:
        raise problem(READONLY, "Cannot execute this query in readonly mode.", "READONLY")
    return Work(
        sql=work.sql,
        input_format=work.input_format,
        rows=work.rows,
        output_format=work.output_format,
        reads=work.reads,
        streams=work.streams,
        database=database,
        settings=settings,
        parameters=parameters,
    )


def _statement(query: str, body: bytes, default_format: str) -> Work:
    try:
        if query:
            insert = insert_head(query)
            if insert is not None:
                rows = query[insert.rows_at :].encode() + body
                return Work(sql=insert.statement, input_format=insert.format, rows=rows)
            return _plain(query + ("\n" + _text(body) if body else ""), default_format)
        insert = insert_head(body[:HEAD].decode("latin-1"))
        if insert is not None:
            statement = _text(body[: len(insert.statement)])
            return Work(sql=statement, input_format=insert.format, rows=body[insert.rows_at :])
        return _plain(_text(body), default_format)
    except Unreadable as error:
        raise problem(SYNTAX_ERROR, error.message, "SYNTAX_ERROR") from error


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise problem(SYNTAX_ERROR, "The statement is not UTF-8.", "SYNTAX_ERROR") from error


def _plain(sql: str, default_format: str) -> Work:
    """Any statement without rows of its own."""
    found = list(tokens(sql))
    while found and found[-1].text == ";":
        sql = sql[: found.pop().start]
    if not found:
        raise problem(SYNTAX_ERROR, "Empty query.", "SYNTAX_ERROR")
    first = next((token for token in found if token.text != "("), found[0]).keyword
    if any(token.sort is Sort.SIGN and token.text == ";" for token in found):
        raise problem(SYNTAX_ERROR, "Multi-statements are not allowed.", "SYNTAX_ERROR")
    words = {token.keyword for token in found}
    if first in STATEFUL or (first == "CREATE" and "TEMPORARY" in words):
        raise problem(
            NOT_IMPLEMENTED, f"{first} needs a session, and there are none here.", "NOT_IMPLEMENTED"
        )
    if first in READING and "OUTFILE" in words:
        raise problem(NOT_IMPLEMENTED, "INTO OUTFILE is not for clients.", "NOT_IMPLEMENTED")
    output = _output_format(found) or default_format
    streams = first in {"SELECT", "WITH"} and output in STREAMABLE
    return Work(sql=sql, output_format=output, reads=first in READING, streams=streams)


def _output_format(found: list[Token]) -> str | None:
    """The name after the last FORMAT outside brackets."""
    depth, name = 0, None
    for token, following in pairwise(found):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.sort is Sort.SIGN else 0
        if depth == 0 and token.keyword == "FORMAT" and following.sort is Sort.WORD:
            name = following.text
    return name


def _settings(query: Mapping[str, str], schemas: Path) -> tuple[dict[str, str], dict[str, str]]:
    settings: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for name, value in query.items():
        if name.startswith("param_"):
            parameters[name.removeprefix("param_")] = value
        elif name == "format_schema" or name in allowed.TRANSPORT:
            continue
        elif allowed.is_setting(name):
            settings[name] = value
        else:
            raise allowed.refuse(name)
    if schema := query.get("format_schema"):
        settings.update(_schema(schema, settings, schemas))
    return settings, parameters


def _schema(schema: str, settings: Mapping[str, str], schemas: Path) -> dict[str, str]:
    """The schema as text: given as such, or the file of that name in the schema directory."""
    if settings.get("format_schema_source", "file") == "string":
        return {"format_schema": schema}
    match = SCHEMA.fullmatch(schema)
    path = schemas / f"{match['file']}.proto" if match else None
    if match is None or path is None or not path.is_file():
        raise problem(BAD_ARGUMENTS, "No such schema file.", "BAD_ARGUMENTS")
    return {
        "format_schema": path.read_text(),
        "format_schema_source": "string",
        "format_schema_message_name": match["message"],
    }


class _Inflating(Protocol):
    def read(self, size: int) -> bytes: ...


def _gunzip(body: BytesIO) -> _Inflating:
    return gzip.GzipFile(fileobj=body)


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding; Problem when that is broken, unknown, or hides too much."""
    openers = {"gzip": _gunzip, "lz4": lz4.frame.LZ4FrameFile, "zstd": zstd.ZstdFile}
    if encoding in {"", "identity"}:
        return body
    if encoding not in openers:
        raise problem(
            NO_COMPRESSION, f"Unknown Content-Encoding {encoding[:20]!r}.", "UNKNOWN_COMPRESSION_METHOD"
        )
    try:
        source: _Inflating = openers[encoding](BytesIO(body))
        plain = source.read(limit + 1)
    except (OSError, EOFError, RuntimeError, zlib.error, zstd.ZstdError) as error:
        raise problem(NO_COMPRESSION, "The compressed body is broken.", "CANNOT_DECOMPRESS") from error
    if len(plain) > limit:
        raise problem(TOO_LARGE, f"A request holds at most {limit} bytes.", "TOO_MANY_BYTES")
    return plain
