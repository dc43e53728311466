"""ClickHouse SQL cut into tokens: enough to see which names it uses and where an INSERT's rows begin."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from frameworks.kit.errors import Refusal

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n\f\v]+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)
    | (?P<text>'(?:[^'\\]|\\.|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    | (?P<number>[0-9][0-9A-Za-z_.]*)
    | (?P<word>[A-Za-z_][0-9A-Za-z_]*)
    | (?P<sign>[^'`"$\\])
    """,
    re.DOTALL | re.VERBOSE,
)


class Unreadable(Refusal):
    """Not SQL: an unterminated quote or comment, or a character that no statement has."""

    code = "clickhouse.unreadable"


class Sort(Enum):
    """What a token is."""

    TEXT = "text"
    QUOTED = "quoted"
    NUMBER = "number"
    WORD = "word"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `text` is a name without its quotes, everything else as it is written."""

    sort: Sort
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """The word in upper case, '' for what can not be a keyword."""
        return self.text.upper() if self.sort is Sort.WORD else ""


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of `sql` without space and comments; Unreadable where it stops making sense."""
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None or (match.lastgroup == "sign" and sql.startswith("/*", position)):
            raise Unreadable(f"The statement can not be read from character {position} on.")
        position = match.end()
        sort = "text" if match.lastgroup == "tag" else match.lastgroup
        if sort is None or sort == "space":
            continue
        text = match[0]
        if sort == "quoted":
            text = text[1:-1].replace(text[0] * 2, text[0])
        yield Token(Sort(sort), text, match.start(), match.end())


@dataclass(frozen=True, slots=True)
class InsertHead:
    """The first part of `INSERT … FORMAT X` and where its rows begin."""

    statement: str
    format: str
    rows_at: int


def insert_head(sql: str) -> InsertHead | None:
    """Where the rows of an INSERT begin; None for other statements, INSERT … SELECT and VALUES too."""
    depth = 0
    stream = tokens(sql)
    if (first := next(stream, None)) is None or first.keyword != "INSERT":
        return None
    for token in stream:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.sort is Sort.SIGN else 0
        if depth or token.keyword not in {"FORMAT", "SELECT", "WITH", "VALUES"}:
            continue
        name = next(stream, None)
        if token.keyword != "FORMAT" or name is None or name.sort is not Sort.WORD:
            return None
        return InsertHead(sql[: token.start], name.text, _rows_at(sql, name.end))
    return None


def insert_from(statement: str, path: str) -> str:
    """The statement of an `InsertHead` with its rows in a file, which is named before the settings."""
    found = [*tokens(statement), None]
    for token, following in pairwise(found):
        if token and token.keyword == "SETTINGS" and following and following.sort is Sort.WORD:
            return f"{statement[: token.start]} FROM INFILE '{path}' {statement[token.start :]}"
    return f"{statement} FROM INFILE '{path}'"


def _rows_at(sql: str, after: int) -> int:
    """Rows follow the format's name after blanks and one line end; they may begin with such bytes."""
    match = re.compile(r"[ \t\f]*\r?\n?").match(sql, after)
    return match.end() if match else after
