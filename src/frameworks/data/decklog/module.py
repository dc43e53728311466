"""Wiring of Decklog."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.contracts.topics import ANALYTICS_EVENTS, DEAD_LETTERS, PARTITIONS
from frameworks.data.decklog.api import SERVICE, Api
from frameworks.data.decklog.config import Settings
from frameworks.data.decklog.peers import SignedAttributions, TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.kit.eventlog import Retention
from frameworks.kit.module import Host, Module


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Make sure of the topics, then offer DecklogService."""
    settings = host.settings(Settings)
    log = await host.eventlog()
    await log.ensure(ANALYTICS_EVENTS, partitions=PARTITIONS, retention=Retention(max_age=settings.retention))
    await log.ensure(DEAD_LETTERS, partitions=1, retention=Retention(max_age=settings.dead_letter_retention))
    attributions = SignedAttributions(host.verifier(), capacity=settings.attributions)
    intake = Intake(attributions, TopicLog(log, host.clock, region=settings.region), host.clock)
    host.serve_rpc(SERVICE, Api(intake), service="decklog")
    host.expose("eventlog", lambda: {"connected": log.connected()})
    yield


MODULE = Module("decklog", start, settings=(Settings,))
