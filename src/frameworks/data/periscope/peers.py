"""The event log as Periscope writes and watches it."""

import hashlib
import zlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from frameworks.contracts.metrics import periscope as metrics
from frameworks.contracts.pb import usage_v1_pb2 as usage
from frameworks.contracts.topics import DEAD_LETTERS, USAGE_PARTITIONS, USAGE_WINDOWS
from frameworks.data.periscope.domain import BUCKET, SECOND
from frameworks.data.periscope.service.ingest import Letter
from frameworks.data.periscope.service.usage_windows import Completed, WindowSaid
from frameworks.kit import outbox
from frameworks.kit.eventlog import EventLog, Outgoing

GROUP = "periscope-ingest"


class DeadLetters:
    """Appends what no one can read to `dead_letters`, with its original bytes and headers."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Keep them durably; the same letter again is stored once."""
        await self._log.publish([_outgoing(letter) for letter in letters])


def _outgoing(letter: Letter) -> Outgoing:
    headers = {
        **letter.headers,
        "dead_origin": letter.origin,
        "dead_reason": letter.reason,
        "dead_consumer": GROUP,
    }
    name = hashlib.blake2b(letter.origin.encode() + letter.frame, digest_size=20).hexdigest()
    return Outgoing(DEAD_LETTERS, 0, letter.frame, headers, name)


class LogReading:
    """How much lies in the dead-letter topic."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def dead_letters(self) -> int:
        """Records in the dead-letter topic."""
        async with self._log.subscribe(DEAD_LETTERS, start="earliest") as letters:
            return await letters.lag()


class UsageTopic:
    """Appends what the outbox says of usage to `usage_windows`; a cluster's records keep their order."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def deliver(self, letter: outbox.Letter) -> None:
        """Append one record; the same again carries the same id."""
        match letter.headers["record"]:
            case "window":
                record = _window(msgspec.json.decode(letter.payload, type=WindowSaid))
                correction = record.window.correction
                kind, identity = "correction" if correction else "window", record.window.record_id
                tenant = {"tenant_id": str(UUID(bytes=record.window.tenant_id))}
            case "complete":
                record = _complete(msgspec.json.decode(letter.payload, type=Completed))
                kind, identity, tenant = "complete", record.complete.record_id, {}
            case _:
                raise ValueError(f"nobody delivers {letter.topic}: {dict(letter.headers)}")
        partition = zlib.crc32(letter.key.encode()) % USAGE_PARTITIONS
        headers = {"record_type": kind, **tenant}
        value = record.SerializeToString(deterministic=True)
        await self._log.publish([Outgoing(USAGE_WINDOWS, partition, value, headers, identity.hex())])
        metrics.USAGE_RECORDS.labels(kind).inc()


def _window(said: WindowSaid) -> usage.UsageRecord:
    window = usage.UsageWindow(
        record_id=bytes.fromhex(said.record_id),
        tenant_id=said.key.tenant.bytes,
        cluster_id=said.key.cluster,
        window_at=said.key.at,
        window_seconds=BUCKET // SECOND,
        sequence=said.sequence,
        revision=said.revision,
        correction=said.correction,
        amounts=[usage.Amount(meter=meter, amount=amount) for meter, amount in sorted(said.amounts.items())],
        published_at=said.published_at,
        turn=said.turn,
    )
    return usage.UsageRecord(window=window)


def _complete(said: Completed) -> usage.UsageRecord:
    complete = usage.WindowComplete(
        record_id=bytes.fromhex(said.record_id),
        cluster_id=said.cluster,
        window_at=said.at,
        window_seconds=BUCKET // SECOND,
        sequence=said.sequence,
        windows=said.windows,
        published_at=said.published_at,
        turn=said.turn,
    )
    return usage.UsageRecord(complete=complete)
