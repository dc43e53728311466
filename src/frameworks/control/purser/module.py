"""Wiring of Purser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from frameworks.control.purser.api import SERVICE, Api
from frameworks.control.purser.config import Settings
from frameworks.control.purser.domain import Plan
from frameworks.control.purser.service import Allowances
from frameworks.control.purser.store import PostgresStore
from frameworks.kit.module import Host, Module


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Offer PurserService."""
    settings = host.settings(Settings)
    store = PostgresStore(await host.database("frameworks.control.purser"))
    allowances = Allowances(store, _free_plan(settings), host.clock)
    host.serve_rpc(SERVICE, Api(allowances), service="purser")
    yield


def _free_plan(settings: Settings) -> Plan:
    return Plan(
        plan="free",
        max_streams=settings.free_max_streams,
        max_live_streams=settings.free_max_live_streams,
        max_viewers=settings.free_max_viewers,
        max_ingest_kbps=settings.free_max_ingest_kbps,
    )


MODULE = Module("purser", start, settings=(Settings,))
