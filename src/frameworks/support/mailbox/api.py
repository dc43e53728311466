"""The mailbox's doors: SMTP in, a page and JSON out."""

from html import escape
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from frameworks.kit.clock import Clock
from frameworks.support.mailbox.domain import LINK, Mail, Mailbox

MAX_MAIL = 256 * 1024

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mail · FrameWorks demo</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="refresh" content="5">
<style>:root{{color-scheme:light dark}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}
article{{border-top:1px solid;padding:1rem 0}}h2{{font-size:1.1rem;margin:0}}pre{{white-space:pre-wrap;font:inherit}}
p.meta{{margin:0;opacity:.85}}</style></head><body><main><h1>Mail</h1>
<p>Every mail of this demo lands here and nowhere else.</p>{body}</main></body></html>"""


class Intake:
    """aiosmtpd's handler: every mail is taken."""

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        self._mailbox = mailbox
        self._clock = clock

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        """One mail, after its final dot."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        self._mailbox.take(content, envelope.mail_from or "", list(envelope.rcpt_tos), self._clock.now())
        return "250 Taken"


def protocol(mailbox: Mailbox, clock: Clock) -> SMTP:
    """A server side of one SMTP connection."""
    return SMTP(Intake(mailbox, clock), data_size_limit=MAX_MAIL, enable_SMTPUTF8=True, hostname="localhost")


def application(mailbox: Mailbox) -> Starlette:
    """`/mail` for people, `/mail.json` for programs."""

    async def page(_: Request) -> Response:
        mails = "".join(_article(mail) for mail in mailbox.newest()) or "<p>No mail yet.</p>"
        return HTMLResponse(PAGE.format(body=mails), headers={"Cache-Control": "no-store"})

    async def listing(_: Request) -> Response:
        return JSONResponse(
            {"mails": [_plain(mail) for mail in mailbox.newest()]}, headers={"Cache-Control": "no-store"}
        )

    return Starlette(routes=[Route("/mail", page), Route("/mail.json", listing)])


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
