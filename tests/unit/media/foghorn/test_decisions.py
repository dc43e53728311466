"""Decisions become events at once, so they carry the trace of the call they were made in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
import pytest
from foghorn_fakes import PLAYBACK, UTRECHT, Decisions, Platform

from frameworks.contracts.pb.events_v1_pb2 import Event
from frameworks.kit import trace
from frameworks.kit.clock import FakeClock, uuid7
from frameworks.kit.proxies import Proxies
from frameworks.media.foghorn.api.play import application
from frameworks.media.foghorn.peers import DecisionRecorder
from frameworks.media.foghorn.service.routing import Decision

TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Delivery:
    """A write-ahead log."""

    kept: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    async def record(self, event: Event) -> None:
        """Keep it."""
        self.kept.put_nowait(event)


class Recorded(Decisions):
    """Decisions handed to the recorder, of tenants and streams as they are called outside tests."""

    def __init__(self, recorder: DecisionRecorder) -> None:
        super().__init__()
        self._recorder = recorder

    def record(self, decision: Decision) -> None:
        """Hand on."""
        owner, stream, tenant = (str(uuid7()) for _ in range(3))
        self._recorder.record(replace(decision, owner=owner, stream_id=stream, tenant_id=tenant))


@pytest.fixture
def delivery() -> Delivery:
    return Delivery()


@pytest.fixture
async def platform(delivery: Delivery) -> AsyncIterator[Platform]:
    """A fleet of one node, with the recorder's loop running where nothing is served."""
    recorder = DecisionRecorder(cast("Any", delivery), FakeClock())
    made = Platform(decisions=Recorded(recorder))
    made.report("n1", where=UTRECHT)
    loop = asyncio.create_task(recorder.run())
    yield made
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


async def test_a_decision_carries_the_trace_of_its_request(platform: Platform, delivery: Delivery) -> None:
    transport = httpx.ASGITransport(application(platform.router, Proxies.named(())))
    async with httpx.AsyncClient(transport=transport, base_url="http://foghorn") as client:
        await client.get(f"/play/{PLAYBACK}", headers={"traceparent": trace.header(TRACE)})
        await client.get(f"/play/{PLAYBACK}")
    first, second = await delivery.kept.get(), await delivery.kept.get()
    assert (first.type, first.trace_id) == ("load-balancing", TRACE)
    assert len(bytes.fromhex(second.trace_id)) == 16
    assert second.trace_id != TRACE


async def test_a_decision_nobody_asked_for_has_no_trace(platform: Platform, delivery: Delivery) -> None:
    await platform.router.watch(PLAYBACK, redirect=False)
    assert (await delivery.kept.get()).trace_id == ""
