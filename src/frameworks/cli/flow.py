"""Each process tells Periscope every two seconds what it does, so that operators see the flow of events."""

import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from frameworks.contracts.flow import LEVELS, RATES, READERS, REPORT_EVERY
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceStub
from frameworks.kit import log, metrics
from frameworks.kit.clock import Clock
from frameworks.kit.errors import Fault
from frameworks.kit.host import ProcessHost
from frameworks.kit.identity.trust import NoKey

Facts = Mapping[str, Any]


class Rates:
    """How fast counters grow, over the last few seconds: events come in bursts."""

    def __init__(self, clock: Clock, *, over: float = 10.0) -> None:
        self._clock = clock
        self._over = over
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def of(self, counted: Mapping[str, float]) -> dict[str, float]:
        """By name, the growth a second since the oldest look that is remembered; 0 at the first."""
        now = self._clock.monotonic()
        self._looks.append((now, dict(counted)))
        while len(self._looks) > 2 and self._looks[1][0] <= now - self._over:
            self._looks.popleft()
        at, before = self._looks[0]
        passed = max(now - at, 0.001)
        return {name: max(0.0, value - before.get(name, 0.0)) / passed for name, value in counted.items()}


def flow_reporter(host: ProcessHost, modules: tuple[str, ...]) -> Callable[[], Awaitable[None]] | None:
    """The loop that reports this process; None where no key of a service is, as on a tenant's node."""
    service = _speaker(host, modules)
    if service is None:
        return None
    periscope = host.peer(PeriscopeServiceStub, service=service)
    logger, rates = log.get("host"), Rates(host.clock)
    name = process_name(modules)

    async def loop() -> None:
        is_heard = True
        while True:
            report = report_of(name, modules, host.health(), rates)
            try:
                await periscope.ReportProcess(report, timeout=REPORT_EVERY)
                is_heard = True
            except Fault as error:
                if is_heard:
                    logger.warning("process.not_reported", code=error.code, reason=error.message)
                is_heard = False
            await host.clock.sleep(REPORT_EVERY)

    return loop


def process_name(modules: tuple[str, ...]) -> str:
    """What to call a process by what it runs."""
    return "app" if len(modules) > 6 else "+".join(modules)


def report_of(name: str, modules: tuple[str, ...], health: Facts, rates: Rates) -> pb.ProcessReport:
    """What a process says, from its health and its counters."""
    facts = health["facts"]
    readers = [(topic, reader) for part in READERS for topic, reader in facts.get(part, {}).items()]
    names = [*RATES.values(), *LEVELS.values()]
    totals = metrics.totals(names)
    stored = {_counted(topic, reader): reader["stored"] for topic, reader in readers}
    grown = rates.of({key: totals[of] for key, of in RATES.items() if of in totals} | stored)
    return pb.ProcessReport(
        id=f"{socket.gethostname()}/{name}/{os.getpid()}",
        process=name,
        modules=modules,
        status=health["status"],
        loops=[pb.LoopStatus(**loop) for loop in health["loops"] if loop["state"] == "failing"],
        readers=[_reader(topic, reader, grown[_counted(topic, reader)]) for topic, reader in readers],
        rates={key: value for key, value in grown.items() if key in RATES},
        levels={key: totals[of] for key, of in LEVELS.items() if of in totals},
        nodes=_depths(facts),
    )


def _counted(topic: str, reader: Facts) -> str:
    return f"{reader['group']} of {topic}"


def _reader(topic: str, reader: Facts, per_second: float) -> pb.TopicStatus:
    return pb.TopicStatus(
        topic=topic,
        group=reader["group"],
        lag=reader["lag"],
        running=not reader["last_error"],
        last_error=reader["last_error"],
        reason=reader["reason"],
        worst_lag=reader["worst_lag"],
        worst_partition=reader["worst_partition"],
        per_second=per_second,
        unclaimed=reader["unclaimed"],
    )


def _depths(facts: Facts) -> list[pb.NodeDepth]:
    """The logs on this machine whose events wait for Decklog."""
    named = {"helmsman": str(facts.get("helmsman", {}).get("node", "")), "foghorn": "foghorn"}
    return [
        pb.NodeDepth(node=node, bytes=facts[name]["wal_bytes"], limit=facts[name].get("wal_limit", 0))
        for name, node in named.items()
        if "wal_bytes" in facts.get(name, {})
    ]


def _speaker(host: ProcessHost, modules: tuple[str, ...]) -> str | None:
    """The first service of this process that has a key."""
    for service in dict.fromkeys(name.split("-")[0] for name in modules):
        try:
            host.identity(service)
        except NoKey:
            continue
        return service
    return None
