"""What is true now: current state, joined with what was measured last."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from frameworks.data.periscope.domain import SECOND, Asked, BadRange
from frameworks.data.periscope.service.history import Figure, History, Row
from frameworks.kit.clock import Clock, micros

MOST_STREAMS = 500
RECENT = timedelta(hours=24)
LIVE = frozenset({"started", "live"})


class State(Protocol):
    """Current state, one tenant at a time."""

    async def states(self, tenant: UUID, streams: Sequence[UUID]) -> Sequence[Row]:
        """State and open sessions of these streams; of every live one when none is named."""

    async def viewers(self, tenant: UUID) -> Sequence[Row]:
        """Open sessions by stream, most first."""


class Latest(Protocol):
    """What was measured last."""

    async def latest(self, tenant: UUID, streams: Sequence[UUID], since: int) -> Mapping[str, Row]:
        """By stream id, what facts since then say of it."""


class Present:
    """The present."""

    def __init__(self, state: State, latest: Latest, history: History, clock: Clock) -> None:
        self._state = state
        self._latest = latest
        self._history = history
        self._clock = clock

    async def statuses(self, tenant: UUID, streams: Sequence[UUID]) -> list[dict[str, Any]]:
        """The state of these streams; a stream without history is not in it."""
        if len(streams) > MOST_STREAMS:
            raise BadRange(f"Ask for at most {MOST_STREAMS} streams at once.")
        states = await self._state.states(tenant, streams)
        if not states:
            return []
        since = micros(self._clock.now() - RECENT)
        measured = await self._latest.latest(tenant, [UUID(str(row["stream_id"])) for row in states], since)
        return [_status(row, measured.get(str(row["stream_id"]), {})) for row in states]

    async def viewers(self, tenant: UUID) -> Sequence[Row]:
        """Open sessions by stream, most first."""
        return await self._state.viewers(tenant)

    async def overview(self, tenant: UUID, asked: Asked) -> dict[str, Any]:
        """A tenant's range in figures: what is over from history, what goes on from current state."""
        health, lifecycle, viewing, most, live = await asyncio.gather(
            self._history.one(tenant, Figure.HEALTH, asked),
            self._history.one(tenant, Figure.LIFECYCLE, asked),
            self._history.one(tenant, Figure.VIEWERS, asked),
            self._history.one(tenant, Figure.PEAK, asked),
            self.statuses(tenant, []),
        )
        found = {**health, **lifecycle, **viewing}
        peak = most.get("peak_viewers", 0)
        now = min(micros(self._clock.now()), asked.until_at)
        running = sum(max(0, now - max(row["started_at"] or now, asked.from_at)) for row in live)
        viewers = sum(row["viewers"] for row in live)
        length = asked.until_at - asked.from_at
        return found | {
            "active_streams": len(live),
            "total_streams": max(found.get("total_streams", 0), len(live)),
            "total_viewers": viewers,
            "average_viewers": found.get("viewer_us", 0) / length,
            "peak_viewers": max(peak, viewers, found.get("peak_viewers", 0)),
            "bandwidth_bps": sum(row.get("bandwidth_out_bps", 0) for row in live),
            "ingest_seconds": (found.get("ingest_us", 0) + running) // SECOND,
            "viewer_seconds": found.get("viewer_us", 0) // SECOND,
        }


def _status(state: Row, measured: Row) -> dict[str, Any]:
    live = state["state"] in LIVE
    at, started = micros(state["state_at"]), state["started_at"]
    return {
        **measured,
        "stream_id": str(state["stream_id"]),
        "state": state["state"],
        "is_live": live,
        "viewers": state["viewers"],
        "peak_viewers": max(state["viewers"], measured.get("peak_viewers", 0)),
        "started_at": micros(started) if started else 0,
        "ended_at": 0 if live else at,
        "updated_at": max(at, measured.get("at", 0)),
        "claim_epoch": state["claim_epoch"],
        "node_id": state["node_id"],
        "cluster_id": state["cluster_id"],
        "reason": state["reason"],
        "detail": state["detail"],
        "down_bytes": int(state["down_bytes"]),
        "up_bytes": max(int(state["up_bytes"]), measured.get("up_bytes", 0)),
    }
