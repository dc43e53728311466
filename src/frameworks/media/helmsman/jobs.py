"""Helmsman's clock: the node's configuration, measurement, claims, heartbeats, its own memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from frameworks.contracts.metrics import helmsman as metrics
from frameworks.kit import log as logs
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Refusal, Unavailable
from frameworks.media.helmsman.config import Settings
from frameworks.media.helmsman.domain import expected_triggers
from frameworks.media.helmsman.service.measuring import Measuring
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing

Loop = Callable[[], Awaitable[None]]
CONFIGURE_EVERY = 30.0
RECONCILE_EVERY = 10.0
RENEW_EVERY = 600.0
HEARTBEAT_EVERY = 15.0


class Configurable(Protocol):
    """The node's API, as far as configuration goes."""

    async def call(self, **commands: Any) -> dict[str, Any]:
        """One request of several commands. Raises Unavailable."""

    async def boot_id(self) -> str:
        """The node's instance id. Raises Unavailable."""

    async def session_ids(self) -> set[str] | None:
        """Sessions the node knows; None when it does not tell."""


@dataclass(frozen=True, slots=True)
class NodeConstants:
    """What the node's configuration is made of."""

    handler_url: str
    metrics_secret: str
    settings: Settings


def every(seconds: float, clock: Clock, once: Callable[[], Awaitable[None]], name: str) -> Loop:
    """A loop that does `once` again and again; a peer that is away is said and waited for."""
    log = logs.get("helmsman")

    async def loop() -> None:
        while True:
            try:
                await once()
            except (Unavailable, Refusal) as error:
                log.warning("job.delayed", job=name, code=error.code, reason=error.message)
            await clock.sleep(seconds)

    return loop


def configure(node: Configurable, constants: NodeConstants) -> Callable[[], Awaitable[None]]:
    """Make the node ours: identity, triggers, metrics, the `live` stream. Repairs what differs."""
    settings = constants.settings
    wanted = {
        "serverid": settings.node_id,
        "prometheus": constants.metrics_secret,
        "triggers": expected_triggers(constants.handler_url),
        "location": {"lat": settings.latitude, "lon": settings.longitude, "name": settings.region},
        "sessionViewerMode": 14,
        "tknMode": 15,
    }
    live = {
        "name": "live",
        "source": "push://",
        "resume": 1,
        "inputtimeout": round(settings.input_timeout.total_seconds()),
        "stop_sessions": False,
    }

    async def once() -> None:
        current = (await node.call(config={}, streams=True)) or {}
        held = current.get("config", {})
        commands: dict[str, Any] = {}
        if any(held.get(name) != value for name, value in wanted.items()):
            commands["config"] = wanted
        there = (current.get("streams") or {}).get("live", {})
        if there.get("inputtimeout") != live["inputtimeout"]:
            commands["addstream"] = {"live": live}
        if commands:
            await node.call(**commands, save=True)
            logs.get("helmsman").info("node.configured", node_id=settings.node_id, changed=sorted(commands))

    return once


def look(
    node: Configurable, measuring: Measuring, publishing: Publishing, changed: Callable[[], None]
) -> Callable[[], Awaitable[None]]:
    """See what is live, notice a new boot, renew claims."""

    async def once() -> None:
        before = _seen(measuring)
        try:
            await measuring.look()
        except Unavailable:
            if before != _seen(measuring):
                changed()
            raise
        boot = await node.boot_id()
        if measuring.picture.boot and boot != measuring.picture.boot:
            logs.get("helmsman").warning("node.restarted", boot_id=boot)
        measuring.picture.boot = boot
        for unknown in await publishing.compare(measuring.present(), boot):
            await measuring.expel(unknown)
        if before != _seen(measuring):
            changed()
        await measuring.renew_claims()
        await measuring.enforce()

    return once


def _seen(measuring: Measuring) -> tuple[str, frozenset[tuple[str, int, int]]]:
    """What Foghorn is told of at once when it changes."""
    picture = measuring.picture
    return picture.standing, frozenset((s.name, s.viewers, s.inputs) for s in picture.streams)


def reconcile(node: Configurable, viewing: Viewing) -> Callable[[], Awaitable[None]]:
    """End sessions the node no longer knows: their USER_END came while nobody listened."""
    missing: set[str] = set()

    async def once() -> None:
        known = await node.session_ids()
        metrics.SESSIONS.set(len(viewing.sessions))
        if known is None:
            return
        gone = viewing.sessions.keys() - known
        for session in gone & missing:
            await viewing.vanished(session)
        missing.clear()
        missing.update(gone)

    return once
