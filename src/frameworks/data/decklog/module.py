"""Wiring of Decklog."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.contracts.topics import (
    ANALYTICS_EVENTS,
    DEAD_LETTERS,
    PARTITIONS,
    SERVICE_EVENTS,
    UNREADABLE_EVENTS,
)
from frameworks.data.decklog.api import SERVICE, Api
from frameworks.data.decklog.config import Settings
from frameworks.data.decklog.peers import SignedAttributions, TopicLog
from frameworks.data.decklog.service import Intake
from frameworks.kit.eventlog import EventLog, Retention
from frameworks.kit.module import Host, Module

UNREADABLE_BYTES = 64 * 1024**2


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Make sure of the topics, then offer DecklogService."""
    settings = host.settings(Settings)
    log = await host.eventlog()
    await make_topics(log, settings)
    attributions = SignedAttributions(host.verifier(), capacity=settings.attributions)
    intake = Intake(
        attributions,
        TopicLog(log, host.clock, region=settings.region),
        host.clock,
        region=settings.region,
        in_flight=settings.in_flight,
    )
    host.serve_rpc(SERVICE, Api(intake, streams=settings.streams), service="decklog")
    host.expose("eventlog", lambda: {"connected": log.connected()})
    yield


async def make_topics(log: EventLog, settings: Settings) -> None:
    """Every topic exists and keeps what it is to keep."""
    dead = settings.dead_letter_retention
    kept = {
        ANALYTICS_EVENTS: (PARTITIONS, Retention(max_age=settings.retention)),
        SERVICE_EVENTS: (PARTITIONS, Retention(max_age=settings.service_retention)),
        DEAD_LETTERS: (1, Retention(max_age=dead)),
        UNREADABLE_EVENTS: (1, Retention(max_age=dead, max_bytes=UNREADABLE_BYTES)),
    }
    for topic, (partitions, retention) in kept.items():
        await log.ensure(topic, partitions=partitions, retention=retention)


MODULE = Module("decklog", start, settings=(Settings,))
