"""Mail by SMTP, in threads because the library blocks."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import parse_qs, unquote, urlsplit

from frameworks.kit.errors import Refusal, Unavailable

TIMEOUT = 15.0


class MailRefused(Refusal):
    """The mail server will never take this mail."""

    code = "commodore.mail_refused"


class MailServerAway(Unavailable):
    """The mail server does not answer, or asks to try again later."""

    code = "commodore.mail_away"


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail goes."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    starttls: bool


def server(url: str) -> Server:
    """Read `smtp[s]://[user:password@]host:port[?starttls=1]`; raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError(f"not a mail server: {parts.scheme}://{parts.hostname}")
    tls = parts.scheme == "smtps"
    return Server(
        host=parts.hostname,
        port=parts.port or (465 if tls else 25),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=tls,
        starttls=parse_qs(parts.query).get("starttls", ["0"]) == ["1"],
    )


class SmtpMailer:
    """Sends plain-text mails."""

    def __init__(self, url: str, sender: str) -> None:
        self._server = server(url)
        self._sender = sender

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand a mail over; raises MailServerAway or MailRefused."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, to, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="frameworks")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        await asyncio.to_thread(self._send, message)

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connected() as smtp:
                smtp.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            permanent = all(code >= 500 for code, _ in error.recipients.values())
            kind = MailRefused if permanent else MailServerAway
            raise kind("The mail server refused the recipient.") from error
        except smtplib.SMTPResponseException as error:
            kind = MailRefused if error.smtp_code >= 500 else MailServerAway
            raise kind("The mail server refused the mail.", smtp_code=error.smtp_code) from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailServerAway("The mail server is away.", reason=type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        where = self._server
        if where.tls:
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(where.host, where.port, timeout=TIMEOUT, context=context)
        else:
            smtp = smtplib.SMTP(where.host, where.port, timeout=TIMEOUT)
        if where.starttls:
            smtp.starttls(context=ssl.create_default_context())
        if where.user:
            smtp.login(where.user, where.password)
        return smtp
