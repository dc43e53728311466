"""Storage samples: what the node holds of each stream, under the publisher's attribution."""

from dataclasses import dataclass, field

import pytest
from helmsman_fakes import INTERNAL, RUNTIME, Platform, push

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.storing import Held, Storing


@dataclass
class Node:
    """What a node holds."""

    holds: dict[str, Held] = field(default_factory=dict)
    away: bool = False

    async def held(self) -> dict[str, Held]:
        """All of it."""
        if self.away:
            raise Unavailable("away")
        return dict(self.holds)


@dataclass
class Scene:
    """A node, its publishers, what it told."""

    platform: Platform
    publishing: Publishing
    node: Node
    storing: Storing
    clock: FakeClock

    async def told(self) -> list[tuple[str, int, int]]:
        """The next samples: scope, bytes, files."""
        self.platform.facts.clear()
        await self.storing.sample()
        await self.clock.advance(60)
        return [(f.body["scope"], f.body["bytes"], f.body["files"]) for f in self.platform.facts]


@pytest.fixture
async def scene() -> Scene:
    clock, platform, node = FakeClock(), Platform(), Node()
    publishing = Publishing(platform, platform, platform, platform, Geo(None), clock)
    await publishing.admit(push())
    return Scene(platform, publishing, node, Storing(node, publishing, platform, clock, name="n1"), clock)


async def test_a_published_stream_is_told_under_its_publishers_attribution(scene: Scene) -> None:
    scene.node.holds = {RUNTIME: Held(5000, 12)}
    assert await scene.told() == [("hot", 5000, 12)]
    (fact,) = scene.platform.facts
    assert (fact.kind, fact.subject.attribution) == ("storage-sample", "attr-ingest")
    first = fact.event_id
    assert await scene.told() == [("hot", 5000, 12)]
    assert scene.platform.facts[0].event_id != first


async def test_of_a_stream_that_is_gone_nothing_is_left_and_that_is_said_once(scene: Scene) -> None:
    scene.node.holds = {RUNTIME: Held(5000, 12)}
    await scene.told()
    scene.node.holds = {}
    assert await scene.told() == [("hot", 0, 0)]
    assert await scene.told() == []


async def test_streams_nobody_was_admitted_to_here_are_not_spoken_of(scene: Scene) -> None:
    scene.node.holds = {f"live+{'b' * 32}": Held(5000, 12), "camera": Held(1, 1)}
    assert await scene.told() == []


async def test_a_node_that_does_not_answer_holds_what_it_held(scene: Scene) -> None:
    scene.node.holds = {RUNTIME: Held(5000, 12)}
    await scene.told()
    scene.node.away = True
    with pytest.raises(Unavailable):
        await scene.told()
    scene.node.away = False
    assert INTERNAL in scene.publishing.publishers
    assert await scene.told() == [("hot", 5000, 12)]
