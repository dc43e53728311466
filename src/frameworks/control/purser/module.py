"""Wiring of Purser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.control.purser.api import SERVICE, Api
from frameworks.control.purser.config import Settings
from frameworks.control.purser.domain import Plan
from frameworks.control.purser.peers import Delivery
from frameworks.control.purser.service import Allowances
from frameworks.control.purser.store import PostgresStore
from frameworks.kit.module import Host, Module
from frameworks.kit.outbox import Outbox


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Offer PurserService; tell Commodore what changed, and the audit trail who did it."""
    settings = host.settings(Settings)
    db = await host.database("frameworks.control.purser")
    outbox = Outbox(db, "purser", clock=host.clock)
    allowances = Allowances(PostgresStore(db), _free_plan(settings), host.clock, outbox.nudge)
    host.serve_rpc(SERVICE, Api(allowances), service="purser")
    audit = AuditDelivery("purser", host.peer(DecklogServiceStub, service="purser"))
    delivery = Delivery(host.peer(CommodoreServiceStub, service="purser"), audit)
    host.spawn("purser.outbox", partial(outbox.drain, delivery.deliver), module="purser")
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
