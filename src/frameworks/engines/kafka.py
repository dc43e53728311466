"""A single-node Apache Kafka on loopback (KRaft, no ZooKeeper); it fsyncs before it acknowledges."""

import asyncio
import signal
import struct
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from frameworks.engines import kafka_maven, remembered
from frameworks.engines.process import Command, Process
from frameworks.kit.clock import Clock, random_bytes
from frameworks.kit.errors import Unavailable

USER = "frameworks"
HEAP = "256m"
START_WITHIN = 90.0
FORMAT_WITHIN = 60.0
TAIL = 1_000
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 7, -1)
"""The one request every broker answers before anyone has signed in."""

CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config={jaas}
listener.name.controller.plain.sasl.jaas.config={jaas}
log.dirs={store}
log.flush.interval.messages=1
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="{user}" password="{password}" user_{user}="{password}";'
)


class NotFormatted(Unavailable):
    """Kafka's data directory could not be prepared; the message quotes the end of what it said."""

    code = "kafka.not_formatted"


class Kafka:
    """A supervised broker that keeps everything but its jars in one directory."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        heap: str = HEAP,
        settings: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._data = data
        self._settings = settings or {}
        self._password = remembered.secret(data / "password")
        self.port = port or remembered.loopback_port(data / "port")
        self._controller = remembered.loopback_port(data / "controller-port")
        self._java = (
            *("java", "-Xms64m", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Djava.awt.headless=true"),
            *("-cp", str(kafka_maven.jars() / "*")),
        )
        self._config = data / "server.properties"
        argv = (*self._java, "kafka.Kafka", str(self._config))
        self.process = Process(
            Command(name="kafka", argv=argv, stop_signals=(signal.SIGTERM,), grace=20.0),
            data / "logs",
            clock=clock,
        )

    @property
    def url(self) -> str:
        """What clients connect to; it carries the password."""
        return f"kafka://{USER}:{self._password}@127.0.0.1:{self.port}?security_protocol=sasl_plaintext"

    async def start(self) -> None:
        """Run the broker until `stop`; returns when it answers. The first time ever, Maven brings the jars."""
        await kafka_maven.resolve()
        self._write_config()
        await self._format()
        await self.process.start(self._ready, within=START_WITHIN)

    async def stop(self) -> None:
        """Stop the broker and wait until it is gone."""
        await self.process.stop()

    async def ready(self, within: float = START_WITHIN) -> None:
        """Return when the broker answers, for example after it was restarted."""
        await self.process.wait_ready(self._ready, within=within)

    def _write_config(self) -> None:
        made = CONFIG.format(
            port=self.port,
            controller=self._controller,
            jaas=JAAS.format(user=USER, password=self._password),
            store=self._data / "store",
        )
        asked = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        self._config.touch(mode=0o600)
        self._config.write_text(made + asked)

    async def _format(self) -> None:
        """Prepare the directory once; Kafka refuses to start on one that was never formatted."""
        if (self._data / "store" / "meta.properties").exists():
            return
        cluster = _cluster_id()
        child = await asyncio.create_subprocess_exec(
            *(*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(FORMAT_WITHIN):
                said, _ = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            raise NotFormatted(
                f"Kafka could not prepare {self._data}. It said: {said.decode(errors='replace')[-TAIL:]}"
            )

    async def _ready(self) -> bool:
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(API_VERSIONS)
                    return (await reader.readexactly(8))[4:] == struct.pack(">i", 7)
                finally:
                    writer.close()
        except (OSError, EOFError, TimeoutError):
            return False


def _cluster_id() -> str:
    """How Kafka writes a UUID: URL-safe base64; one that begins with a dash looks like an option to its tools."""
    while (made := urlsafe_b64encode(random_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return made
