"""The mailbox's doors: SMTP in, a page and JSON out."""

import asyncio
from collections.abc import Callable
from html import escape
from typing import Any, AnyStr, cast

from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from frameworks.contracts.metrics import mailbox as metrics
from frameworks.kit import http, log
from frameworks.kit.clock import Clock, random_text
from frameworks.support.mailbox.domain import LINK, Mail, Mailbox

MAX_MAIL = 256 * 1024
MAX_CONNECTIONS = 64
SILENT_SECONDS = 30.0
_log = log.get("mailbox")

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mail · FrameWorks demo</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="refresh" content="5">
<style>:root{{color-scheme:light dark}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}
article{{border-top:1px solid;padding:1rem 0}}h2{{font-size:1.1rem;margin:0}}pre{{white-space:pre-wrap;font:inherit}}
p.meta{{margin:0;opacity:.85}}</style></head><body><main><h1>Mail</h1>
<p>Every mail of this demo lands here and nowhere else.</p>{body}</main></body></html>"""


class Handler:
    """aiosmtpd's handler: every mail is taken."""

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._mailbox = mailbox
        self._clock = clock

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        """One mail, after its final dot."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        self._mailbox.take(content, envelope.mail_from or "", list(envelope.rcpt_tos), self._clock.now())
        return "250 Taken"

    async def handle_exception(self, error: Exception) -> str:
        """What a client is told when taking its mail failed."""
        incident = random_text(10)
        _log.error("mail.failed", incident=incident, exc_info=error)
        return f"451 The mail was not taken; it is logged as incident {incident}."


class Connection(SMTP):
    """One SMTP client; its refusals are counted."""

    left: Callable[[], None]

    async def push(self, status: AnyStr) -> None:
        """Send one reply."""
        code = status[:3].decode("ascii") if isinstance(status, bytes) else status[:3]
        if code[:1] in ("4", "5"):
            metrics.REFUSED.labels(code).inc()
        await super().push(status)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(error)
        self.left()


class Full(asyncio.Protocol):
    """A connection there is no room for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so and close."""
        metrics.REFUSED.labels("421").inc()
        cast(asyncio.Transport, transport).write(b"421 Too many connections\r\n")
        transport.close()


class Door:
    """Makes the server side of SMTP connections, `MAX_CONNECTIONS` at once."""

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._handler = Handler(mailbox, clock)
        self._open = 0

    def __call__(self) -> asyncio.Protocol:
        """The server side of one connection."""
        if self._open >= MAX_CONNECTIONS:
            return Full()
        self._open += 1
        connection = Connection(
            self._handler,
            data_size_limit=MAX_MAIL,
            enable_SMTPUTF8=True,
            hostname="localhost",
            timeout=SILENT_SECONDS,
        )
        connection.left = self._left
        return connection

    def _left(self) -> None:
        self._open -= 1


def application(mailbox: Mailbox) -> ASGIApp:
    """`/mail` for people, `/mail.json` for programs."""

    async def page(_: Request) -> Response:
        mails = "".join(_article(mail) for mail in mailbox.newest()) or "<p>No mail yet.</p>"
        return HTMLResponse(PAGE.format(body=mails), headers={"Cache-Control": "no-store"})

    async def listing(_: Request) -> Response:
        return JSONResponse(
            {"mails": [_plain(mail) for mail in mailbox.newest()]}, headers={"Cache-Control": "no-store"}
        )

    policy = http.Policy(service="mailbox", access_log=False)
    return http.application([Route("/mail", page), Route("/mail.json", listing)], policy)


def _article(mail: Mail) -> str:
    text = escape(mail.text)
    linked = LINK.sub(lambda found: f'<a href="{found[0]}">{found[0]}</a>', text)
    meta = f"to {escape(', '.join(mail.recipients))} · {mail.received_at:%H:%M:%S} UTC"
    return f'<article><h2>{escape(mail.subject)}</h2><p class="meta">{meta}</p><pre>{linked}</pre></article>'


def _plain(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "to": list(mail.recipients),
        "subject": mail.subject,
        "text": mail.text,
        "links": list(mail.links),
    }
