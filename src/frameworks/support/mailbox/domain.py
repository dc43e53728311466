"""Mails as people read them."""

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

LINK = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, its text and the links in it."""

    id: int
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    links: tuple[str, ...]


class Mailbox:
    """The newest mails, bounded."""

    def __init__(self, keep: int) -> None:
        self._mails: deque[Mail] = deque(maxlen=keep)
        self._count = 0

    def take(self, content: bytes, sender: str, recipients: list[str], at: datetime) -> Mail:
        """Keep one mail, dropping the oldest when full."""
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        text = _writable(_text(message))
        self._count += 1
        mail = Mail(
            self._count,
            at,
            _writable(sender),
            tuple(map(_writable, recipients)),
            _writable(str(message["subject"] or "")),
            text,
            tuple(LINK.findall(text)),
        )
        self._mails.append(mail)
        return mail

    def newest(self) -> list[Mail]:
        """All kept mails, newest first."""
        return list(reversed(self._mails))


def _text(message: EmailMessage) -> str:
    """The text a person would read, whatever the mail says of its charset."""
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    try:
        return str(body.get_content())
    except (LookupError, ValueError):
        content = body.get_payload(decode=True)
        return content.decode(errors="replace") if isinstance(content, bytes) else ""


def _writable(text: str) -> str:
    """`text` without the halves of characters that stand for bytes nobody could read."""
    return text.encode(errors="replace").decode()
