"""Wiring of the front."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.kit.module import Host, Module
from frameworks.kit.tls import TlsFiles
from frameworks.support.console.api.front import application
from frameworks.support.console.api.pages import Pages
from frameworks.support.console.config import Settings
from frameworks.support.console.peers import Upstreams


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Serve the public front."""
    settings = host.settings(Settings)
    upstreams = Upstreams(settings.trusted_proxies)
    pages = Pages(
        public_url=settings.public_url,
        rtmp_url=settings.rtmp_url,
        media_origins=settings.media_origins,
        has_mail=bool(settings.mailbox_url),
        telemetry=settings.player_telemetry,
    )
    host.serve_http(
        application(settings, pages, upstreams),
        service="console",
        port=settings.port,
        address=settings.listen,
        setting="CONSOLE_PORT",
        tls=TlsFiles.named(settings.tls_certificate, settings.tls_key, prefix="CONSOLE_"),
    )
    try:
        yield
    finally:
        await upstreams.close()


MODULE = Module("console", start, settings=(Settings,))
