"""Wiring of the mailbox."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.kit.module import Host, Module
from frameworks.support.mailbox.api import Door, application
from frameworks.support.mailbox.config import Settings
from frameworks.support.mailbox.domain import Mailbox


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Listen for mail on loopback, and show it."""
    settings = host.settings(Settings)
    mailbox = Mailbox(settings.keep)
    loop = asyncio.get_running_loop()
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # it repeats whatever clients send
    server = await loop.create_server(Door(mailbox, host.clock), "127.0.0.1", settings.smtp_port)
    host.serve_http(application(mailbox), service="mailbox", port=settings.port, address="127.0.0.1")
    try:
        yield
    finally:
        server.close()


MODULE = Module("mailbox", start, settings=(Settings,))
