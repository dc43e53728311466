"""What the node holds of each stream that is published to it: one sample per stream and scope."""

import asyncio
from typing import NamedTuple, Protocol

from frameworks.contracts import topics
from frameworks.contracts.ids import internal_name
from frameworks.kit.clock import Clock, micros
from frameworks.media.helmsman import domain
from frameworks.media.helmsman.domain import Fact, Subject
from frameworks.media.helmsman.service.reporting import Recorder

HOT = "hot"
"""On the node itself, in memory or on its disk."""


class Held(NamedTuple):
    """Of one stream: segments and its poster, or files."""

    bytes: int
    files: int


NOTHING = Held(0, 0)


class Shelves(Protocol):
    """The node's API, as far as what it holds goes."""

    async def held(self) -> dict[str, Held]:
        """What the node holds, by stream. Raises Unavailable."""


class Publishers(Protocol):
    """Whose a stream on this node is."""

    def subject_of(self, name: str) -> Subject | None:
        """Whose the stream is, or was until a while ago; None for streams nobody was admitted to here."""


class Storing:
    """Samples are told under the publisher's attribution: a node speaks only of streams it was given."""

    def __init__(
        self, node: Shelves, publishers: Publishers, recorder: Recorder, clock: Clock, *, name: str
    ) -> None:
        self._node = node
        self._publishers = publishers
        self._recorder = recorder
        self._clock = clock
        self._name = name
        self._told: set[str] = set()

    async def sample(self) -> None:
        """One sample per stream; of one that is gone since the sample before, that nothing is left.

        Raises Unavailable.
        """
        found = {
            n: held for stream, held in (await self._node.held()).items() if (n := internal_name(stream))
        }
        at = micros(self._clock.now())
        gone = dict.fromkeys(self._told - found.keys(), NOTHING)
        facts = [fact for n, held in (gone | found).items() if (fact := self._fact(n, held, at))]
        await asyncio.gather(*map(self._recorder.record, facts))
        self._told = set(found)

    def _fact(self, name: str, held: Held, at: int) -> Fact | None:
        subject = self._publishers.subject_of(name)
        if subject is None:
            return None
        kind = topics.STORAGE_SAMPLE.name
        body = {"scope": HOT, **held._asdict()}
        return Fact(kind, domain.event_id(kind, self._name, name, HOT, str(at)), at, subject, body)
