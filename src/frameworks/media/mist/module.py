"""Wiring of the media node: triggers and API for Helmsman, ingest, the hub, delivery to viewers."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from frameworks.contracts.metrics import mist as metrics
from frameworks.kit import http
from frameworks.kit.clock import random_text
from frameworks.kit.files import Disk
from frameworks.kit.log import get
from frameworks.kit.module import Host, Module
from frameworks.kit.tls import TlsFiles
from frameworks.media.mist.api.app import MAX_BODY, Api
from frameworks.media.mist.api.controller import Controller
from frameworks.media.mist.api.reports import Reports
from frameworks.media.mist.api.storage import Storage
from frameworks.media.mist.api.triggers import LANES, TriggerClient
from frameworks.media.mist.config import Settings
from frameworks.media.mist.hub.audience import Audience
from frameworks.media.mist.hub.doorway import Doorway
from frameworks.media.mist.hub.rendition import Shape
from frameworks.media.mist.hub.sayings import Sayings
from frameworks.media.mist.hub.streams import Hub
from frameworks.media.mist.outputs.http.media import MediaRoutes
from frameworks.media.mist.outputs.http.metadata import MetadataRoutes
from frameworks.media.mist.outputs.http.router import Router
from frameworks.media.mist.outputs.http.server import HttpServer
from frameworks.media.mist.outputs.poster import Painter
from frameworks.media.mist.servers.admission import Admission
from frameworks.media.mist.servers.rtmp import RtmpServer

log = get("mist")
NAME = "mist"
FLUSH_SECONDS = 5.0
"""How long a stopping node tries to tell Helmsman of the ends it caused."""


class Node:
    """All parts of one media node, wired; `start` opens its doors."""

    def __init__(self, host: Host, settings: Settings) -> None:
        clock = host.clock
        release, instance = version("frameworks"), random_text(16)
        public = settings.public_url or f"http://{settings.address}:{settings.http_port}"
        self.settings = settings
        self.storage = Storage(Disk(), settings.state)
        self.triggers = TriggerClient(clock, self.storage, instance=instance, version=release)
        self.hub = Hub(
            clock,
            self.triggers,
            _shape(settings),
            grace=settings.grace.total_seconds(),
            most=settings.max_streams,
            forgotten=lambda stream: self.reports.note_gone(stream),
        )
        self.audience = Audience(
            clock,
            self.triggers,
            self.hub.watched,
            idle=settings.viewer_idle.total_seconds(),
            most=settings.max_viewers,
        )
        remembered = settings.play_cache.total_seconds()
        self.doorway = Doorway(clock, self.triggers, self.hub, self.audience, remembered=remembered)
        tallies = self.triggers.tallies
        self.painter = Painter(clock)
        self.reports = Reports(
            clock,
            self.hub,
            self.audience,
            self.storage,
            tallies,
            posters=self.painter.kept,
            public=public,
        )
        self.sayings = Sayings(clock, lambda reason: metrics.DROPPED_REPORTS.labels(reason).inc())
        controller = Controller(
            clock,
            self.hub,
            self.audience,
            self.doorway,
            self.storage,
            self.reports,
            self.sayings,
            instance=instance,
            version=release,
        )
        self.api = Api(controller, self.reports, self.storage)
        self.router = Router(
            MediaRoutes(clock, self.doorway, self.sayings),
            MetadataRoutes(self.doorway, self.painter),
            frozenset(settings.trusted_proxies),
        )
        self.http = HttpServer(
            self.router.route,
            clock,
            most=settings.max_connections,
            most_per_address=settings.max_connections_per_address,
            exempt=frozenset(settings.trusted_proxies),
            refused=lambda reason: metrics.REFUSED_REQUESTS.labels(reason).inc(),
        )
        self.rtmp = RtmpServer(
            Admission(self.hub, self.triggers, self.storage),
            clock=clock,
            refused=lambda code: metrics.REFUSED_PUBLISHERS.labels(code).inc(),
        )

    async def open(self) -> dict[str, int]:
        """Take what was saved and serve; returns the ports by protocol: http, rtmp, and rtmps with TLS."""
        self.storage.load()
        settings = self.settings
        files = TlsFiles.named(settings.tls_certificate, settings.tls_key, prefix=Settings.PREFIX)
        tls = files.context() if files else None
        ports = {
            "http": await self.http.listen(settings.address, settings.http_port, tls=tls),
            "rtmp": await self.rtmp.listen(settings.address, settings.rtmp_port),
        }
        if tls is not None:
            ports["rtmps"] = await self.rtmp.listen(settings.address, settings.rtmps_port, tls=tls)
        return ports

    def tick(self) -> None:
        """Once a second: every part looks at the clock."""
        self.http.sweep()
        self.hub.tick()
        self.audience.tick()
        self.doorway.tick()
        self.reports.machine.look()

    def facts(self) -> dict[str, object]:
        """For `/health`."""
        return {
            "streams": len(self.hub.active()),
            "viewers": len(self.audience.sessions()),
            "connections": self.http.connections,
            "triggers_dropped": self.triggers.dropped,
        }

    async def close(self) -> None:
        """Stop taking, end every stream, let nothing go on."""
        await self.rtmp.close()
        self.hub.stop_all()
        for session in self.audience.sessions():
            self.audience.end(session)
        await self.router.close()
        await self.doorway.close()
        await self.http.close()
        await self.painter.close()
        await self.triggers.flush(FLUSH_SECONDS)


def _shape(settings: Settings) -> Shape:
    return Shape(
        part=settings.part.total_seconds(),
        segment=settings.segment.total_seconds(),
        window=settings.window.total_seconds(),
    )


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Run a media node; without triggers configured through its API it refuses every publisher."""
    node = Node(host, host.settings(Settings))

    async def ticks() -> None:
        while True:
            await host.clock.sleep(1.0)
            node.tick()

    ports = await node.open()
    api = http.protect(node.api, http.Policy(service=NAME, max_body=2 * MAX_BODY, access_log=False))
    host.serve_http(api, service=NAME, port=node.settings.api_port, address="127.0.0.1")
    host.spawn("ticks", ticks, module=NAME)
    for lane in range(LANES):
        host.spawn(f"triggers-{lane}", partial(node.triggers.run, lane), module=NAME)
    host.expose(NAME, node.facts)
    log.info("node.started", ports=ports, api_port=node.settings.api_port)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        await node.close()


MODULE = Module(NAME, start, settings=(Settings,))
