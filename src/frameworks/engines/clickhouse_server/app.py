"""ClickHouse's HTTP protocol as an ASGI application: authenticate, read, run, answer."""

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from frameworks.engines.clickhouse_server import requests
from frameworks.engines.clickhouse_server.pool import Answer, Pool
from frameworks.engines.clickhouse_server.problems import (
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    TOO_LARGE,
    Problem,
    problem,
)
from frameworks.engines.clickhouse_server.requests import Work
from frameworks.kit import log
from frameworks.kit.clock import random_text

Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_FIELDS = 200
GRACE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask of this process."""

    body: int = 64 * 1024 * 1024
    seconds: int = 120
    memory: int = 1536 * 1024 * 1024
    connections: int = 4
    waiting: int = 64

    def settings(self) -> dict[str, int]:
        """The limits that the engine enforces."""
        return {"max_execution_time": self.seconds, "max_memory_usage": self.memory}


class HungUp(Exception):
    """The client went away before its request was complete; what came of it is worth nothing."""


class Facade:
    """The application; one per process."""

    def __init__(self, pool: Pool, *, password: str, schemas: Path, limits: Limits) -> None:
        self._pool = pool
        self._password = password
        self._schemas = schemas
        self._limits = limits
        self._log = log.get("clickhouse")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of the ASGI server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await self._pool.open()
            else:
                await self._pool.close()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in {"/ping", "/replicas_status"}:
            await _answer(send, 200, [], b"Ok.\n")
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            query = _query(scope["query_string"])
            self._authenticate(headers, query)
            query, body = await self._body(scope, receive, headers, query)
            work = requests.read(query, headers, body, schemas=self._schemas, limits=self._limits.settings())
            async with asyncio.timeout(self._limits.seconds + GRACE):
                await self._run(work, query.get("query_id", ""), send)
        except Problem as error:
            self._log.info("request.refused", code=error.code)
            await _refuse(send, error)
        except (TimeoutError, HungUp) as error:
            self._log.warning("request.abandoned", reason=repr(error))

    def _authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        given = headers.get("x-clickhouse-key") or query.get("password", "")
        basic = headers.get("authorization", "")
        if basic.lower().startswith("basic "):
            try:
                given = base64.b64decode(basic[6:], validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if not hmac.compare_digest(given.encode(), self._password.encode()):
            raise problem(
                AUTHENTICATION_FAILED,
                "Authentication failed.",
                "AUTHENTICATION_FAILED",
            )

    async def _body(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], query: dict[str, str]
    ) -> tuple[dict[str, str], bytes]:
        """The parameters, with those of a form put in, and the uncompressed body."""
        if int(headers.get("content-length") or 0) > self._limits.body:
            raise self._too_large()
        if headers.get("content-type", "").startswith("multipart/form-data"):
            return query | await self._form(scope, receive), b""
        parts, size = [], 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise HungUp
            parts.append(event.get("body", b""))
            size += len(parts[-1])
            if size > self._limits.body:
                raise self._too_large()
            if not event.get("more_body"):
                break
        return query, requests.inflated(
            b"".join(parts), headers.get("content-encoding", ""), self._limits.body
        )

    async def _form(self, scope: Scope, receive: Receive) -> dict[str, str]:
        """Query and parameters that came as a form; a file would be an external table: there are none."""
        try:
            form = await Request(scope, receive).form(
                max_files=0, max_fields=MAX_FIELDS, max_part_size=self._limits.body
            )
        except HTTPException as error:
            raise problem(BAD_ARGUMENTS, f"Bad form: {error.detail}.", "BAD_ARGUMENTS") from error
        return {name: value for name, value in form.items() if isinstance(value, str)}

    def _too_large(self) -> Problem:
        return problem(TOO_LARGE, f"A request holds at most {self._limits.body} bytes.", "TOO_MANY_BYTES")

    async def _run(self, work: Work, query_id: str, send: Send) -> None:
        async with self._pool.connection(work) as connection:
            answer = await self._pool.on_thread(lambda: connection.run(work))
            headers = _headers(work, answer, query_id)
            if answer.more is None:
                await _answer(send, 200, headers, answer.body)
            else:
                await self._stream(send, headers, answer, answer.more)

    async def _stream(self, send: Send, headers: Headers, answer: Answer, more: Callable[[], bytes]) -> None:
        """Send part by part; a failure on the way is told in the body, marked with the header's tag."""
        tag = random_text(16)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*headers, (b"x-clickhouse-exception-tag", tag.encode())],
            }
        )
        part = answer.body
        try:
            while part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                part = await self._pool.on_thread(more)
        except Problem as error:
            text = error.text.encode()
            marked = b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (
                tag.encode(),
                text,
                len(text),
                tag.encode(),
            )
            await send({"type": "http.response.body", "body": marked, "more_body": True})
        finally:
            if part and answer.cancel is not None:
                await self._pool.on_thread(answer.cancel)
        await send({"type": "http.response.body", "body": b""})


def _query(raw: bytes) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        )
    except ValueError as error:
        raise problem(BAD_ARGUMENTS, "The query string can not be read.", "BAD_ARGUMENTS") from error


def _headers(work: Work, answer: Answer, query_id: str) -> Headers:
    summary = {"read_rows": str(answer.rows_read), "written_rows": str(answer.rows_written)}
    headers = [
        (b"content-type", b"text/plain; charset=UTF-8" if not work.streams else b"application/octet-stream"),
        (b"x-clickhouse-summary", json.dumps(summary).encode()),
        (b"x-clickhouse-timezone", b"UTC"),
        (b"x-clickhouse-server-display-name", b"frameworks"),
    ]
    if work.reads:
        headers.append((b"x-clickhouse-format", work.output_format.encode()))
    if query_id.isascii() and query_id.isprintable():
        headers.append((b"x-clickhouse-query-id", query_id[:100].encode()))
    return headers


async def _answer(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _refuse(send: Send, error: Problem) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=UTF-8"),
        (b"x-clickhouse-exception-code", str(error.code).encode()),
    ]
    await _answer(send, error.status, headers, error.text.encode() + b"\n")
