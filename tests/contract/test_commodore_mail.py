"""Mail through a real SMTP server of the test's own."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from frameworks.control.commodore.peers.mail import MailRefused, MailServerAway, SmtpMailer


class Inbox:
    """Takes mail, or answers what it is told to."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.answer = "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.received.append(envelope.content)
        return "250 OK"


@contextmanager
def _serving(inbox: Inbox) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, SmtpMailer]]:
    """A mail server and a mailer that uses it."""
    inbox = Inbox()
    with _serving(inbox) as url:
        yield inbox, SmtpMailer(url, "FrameWorks <noreply@example.org>")


async def test_a_mail_arrives_as_it_was_written(inbox: tuple[Inbox, SmtpMailer]) -> None:
    received, mailer = inbox
    await mailer.send("ann@example.org", "Grüße", "Ein Link:\n\nhttps://example.org/?a=b\n")
    message = message_from_bytes(received.received[0], policy=policy.default)
    assert message["Subject"] == "Grüße"
    assert message["To"] == "ann@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "https://example.org/?a=b" in message.get_content()


async def test_a_refused_recipient_is_not_tried_again(inbox: tuple[Inbox, SmtpMailer]) -> None:
    received, mailer = inbox
    received.answer = "550 no such user"
    with pytest.raises(MailRefused):
        await mailer.send("nobody@example.org", "s", "t")


async def test_a_busy_server_is_tried_again(inbox: tuple[Inbox, SmtpMailer]) -> None:
    received, mailer = inbox
    received.answer = "451 try later"
    with pytest.raises(MailServerAway):
        await mailer.send("ann@example.org", "s", "t")


async def test_a_server_that_is_away_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        mailer = SmtpMailer(f"smtp://127.0.0.1:{unused.getsockname()[1]}", "us@example.org")
        with pytest.raises(MailServerAway):
            await mailer.send("ann@example.org", "s", "t")
