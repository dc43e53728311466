"""The event log as Periscope writes and watches it."""

import hashlib
from collections.abc import Sequence

from frameworks.contracts.topics import DEAD_LETTERS
from frameworks.data.periscope.service.ingest import Letter
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
