"""Helmsman's clock: the node's configuration is repaired, lost sessions end, a new boot forgets publishers."""

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from helmsman_fakes import INTERNAL, RUNTIME, STREAM, Platform, push, user_new

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import NotFound, Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman import jobs
from frameworks.media.helmsman.config import Settings
from frameworks.media.helmsman.service.measuring import DOWN_SECONDS, Measuring
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing
from frameworks.media.mist.protocols.trigger import Action, after_failure, handlers_of

HANDLER = "http://127.0.0.1:18007/webhooks/mist/5ec2e7"
CONSTANTS = jobs.NodeConstants(HANDLER, "metrics-secret", Settings(node_id="node-1", region="Utrecht"))


@dataclass
class MediaNode:
    """A node's API: keeps what it is configured with, adds what it says of itself."""

    config: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Any] = field(default_factory=dict)
    boot: str = "boot-1"
    sessions: set[str] | None = field(default_factory=set)
    changed: list[list[str]] = field(default_factory=list)
    away: bool = False

    async def call(self, **commands: Any) -> dict[str, Any]:
        if self.away:
            raise Unavailable("away")
        config, added = copy.deepcopy((commands.get("config", {}), commands.get("addstream", {})))
        self.config |= config
        self.streams |= added
        writes = [name for name in ("addstream", "config", "save") if commands.get(name)]
        if writes:
            self.changed.append(writes)
        return {
            "config": {**self.config, "version": "3.10", "iid": self.boot},
            "streams": self.streams or None,
        }

    async def boot_id(self) -> str:
        if self.away:
            raise Unavailable("away")
        return self.boot

    async def session_ids(self) -> set[str] | None:
        return self.sessions


@pytest.fixture
def node() -> MediaNode:
    return MediaNode()


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def publishing(platform: Platform, clock: FakeClock) -> Publishing:
    return Publishing(platform, platform, platform, platform, Geo(None), clock)


@pytest.fixture
def viewing(platform: Platform, clock: FakeClock) -> Viewing:
    return Viewing(platform, platform, platform, Geo(None), clock, node="node-1", hash_key=b"k")


@pytest.fixture
def measuring(platform: Platform, publishing: Publishing, clock: FakeClock) -> Measuring:
    return Measuring(platform, platform, publishing, platform, clock, "node-1")


async def test_an_unconfigured_node_becomes_ours(node: MediaNode) -> None:
    await jobs.configure(node, CONSTANTS)()
    assert node.changed == [["addstream", "config", "save"]]
    assert (node.config["serverid"], node.config["prometheus"]) == ("node-1", "metrics-secret")
    assert node.streams["live"]["source"] == "push://"


async def test_a_node_that_is_ours_is_left_alone(node: MediaNode) -> None:
    once = jobs.configure(node, CONSTANTS)
    await once()
    await once()
    assert len(node.changed) == 1


async def test_triggers_somebody_changed_are_repaired(node: MediaNode) -> None:
    once = jobs.configure(node, CONSTANTS)
    await once()
    del node.config["triggers"]["USER_NEW"]
    await once()
    assert node.changed[-1] == ["config", "save"]
    assert "USER_NEW" in node.config["triggers"]


async def test_a_stream_somebody_deleted_comes_back(node: MediaNode) -> None:
    once = jobs.configure(node, CONSTANTS)
    await once()
    node.streams.clear()
    await once()
    assert node.changed[-1] == ["addstream", "save"]


async def test_a_stream_that_waits_another_time_for_its_publisher_is_repaired(node: MediaNode) -> None:
    once = jobs.configure(node, CONSTANTS)
    await once()
    assert node.streams["live"]["inputtimeout"] == 12
    node.streams["live"]["inputtimeout"] = 90
    await once()
    assert node.changed[-1] == ["addstream", "save"]
    assert node.streams["live"]["inputtimeout"] == 12


async def test_a_node_that_is_away_is_configured_when_it_comes(node: MediaNode) -> None:
    once = jobs.configure(node, CONSTANTS)
    node.away = True
    with pytest.raises(Unavailable):
        await once()
    node.away = False
    await once()
    assert node.changed


async def test_the_node_takes_every_trigger_and_refuses_strangers_while_helmsman_is_dead(
    node: MediaNode,
) -> None:
    await jobs.configure(node, CONSTANTS)()
    taken = handlers_of(node.config["triggers"])
    for name in ("PUSH_REWRITE", "PLAY_REWRITE", "USER_NEW"):
        [handler] = taken[name]
        assert handler.sync
        assert after_failure(name, handler).action is Action.DENY
    assert not any(handler.sync for name in ("USER_END", "STREAM_END") for handler in taken[name])


async def test_a_job_that_fails_is_done_again(clock: FakeClock) -> None:
    seen: list[str] = []
    faults = [Unavailable("away"), NotFound("gone")]

    async def once() -> None:
        seen.append("done")
        if faults:
            raise faults.pop()

    running = asyncio.ensure_future(jobs.every(10, clock, once, "test")())
    await clock.advance(25)
    running.cancel()
    assert seen == ["done"] * 3


async def test_a_session_the_node_lost_ends_at_the_second_look(
    node: MediaNode, platform: Platform, viewing: Viewing
) -> None:
    await viewing.opened(user_new("s1"))
    await viewing.opened(user_new("s2"))
    once = jobs.reconcile(node, viewing)
    node.sessions = {"s2"}
    await once()
    assert viewing.sessions.keys() == {"s1", "s2"}
    await once()
    assert viewing.sessions.keys() == {"s2"}
    assert platform.closed == ["s1"]
    assert platform.facts[-1].body["action"] == "disconnect"


async def test_a_session_that_was_missing_once_only_goes_on(node: MediaNode, viewing: Viewing) -> None:
    await viewing.opened(user_new("s1"))
    once = jobs.reconcile(node, viewing)
    for known in (set[str](), {"s1"}, set[str](), {"s1"}):
        node.sessions = known
        await once()
    assert viewing.sessions.keys() == {"s1"}


async def test_a_node_that_does_not_tell_ends_nobody(node: MediaNode, viewing: Viewing) -> None:
    await viewing.opened(user_new("s1"))
    once = jobs.reconcile(node, viewing)
    node.sessions = None
    for _ in range(3):
        await once()
    assert viewing.sessions.keys() == {"s1"}


async def test_the_viewer_of_a_deleted_stream_is_still_accounted_for(
    node: MediaNode, platform: Platform, viewing: Viewing, clock: FakeClock
) -> None:
    await viewing.opened(user_new("s1"))
    platform.viewable = None
    await clock.advance(60)
    assert (await viewing.opened(user_new("s1"))).body == "false"
    await viewing.vanished("s1")
    assert platform.facts[-1].body["action"] == "disconnect"
    assert viewing.sessions == {}


async def test_looking_tells_foghorn_only_what_changed(
    node: MediaNode, measuring: Measuring, publishing: Publishing
) -> None:
    told: list[str] = []
    once = jobs.look(node, measuring, publishing, lambda: told.append("changed"))
    await once()
    await once()
    assert told == ["changed"]


async def test_foghorn_is_told_at_once_that_the_node_is_silent_and_that_it_is_back(
    node: MediaNode, platform: Platform, measuring: Measuring, publishing: Publishing, clock: FakeClock
) -> None:
    told: list[str] = []
    once = jobs.look(node, measuring, publishing, lambda: told.append(measuring.picture.standing))
    await once()
    platform.away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await once()
    await clock.advance(DOWN_SECONDS)
    with pytest.raises(Unavailable):
        await once()
    platform.away = False
    await once()
    assert told == ["up", "degraded", "down", "up"]


async def test_a_new_boot_ends_publishers_of_the_old_one(
    node: MediaNode, platform: Platform, measuring: Measuring, publishing: Publishing
) -> None:
    await publishing.admit(push())
    node.boot = "boot"
    once = jobs.look(node, measuring, publishing, lambda: None)
    await once()
    assert INTERNAL in publishing.publishers
    node.boot = "boot-2"
    await once()
    assert publishing.publishers == {}
    assert platform.facts[-1].body["state"] == "ended"
    assert platform.released == [(STREAM, 1, "u-1")]


async def test_a_publisher_that_came_right_after_the_new_boot_stays(
    node: MediaNode, platform: Platform, measuring: Measuring, publishing: Publishing
) -> None:
    node.boot = "boot-before"
    once = jobs.look(node, measuring, publishing, lambda: None)
    await once()
    await publishing.admit(push())
    node.boot = "boot"
    await once()
    assert publishing.publishers.keys() == {INTERNAL}
    assert platform.stopped == []


async def test_a_publisher_nobody_remembers_is_cut_off(
    node: MediaNode, platform: Platform, measuring: Measuring, publishing: Publishing, clock: FakeClock
) -> None:
    once = jobs.look(node, measuring, publishing, lambda: None)
    await once()
    assert platform.stopped == []
    await clock.advance(5)
    await once()
    assert platform.stopped == [RUNTIME]


async def test_a_node_that_does_not_answer_has_no_streams(
    node: MediaNode, platform: Platform, measuring: Measuring, publishing: Publishing
) -> None:
    once = jobs.look(node, measuring, publishing, lambda: None)
    await once()
    assert measuring.picture.reachable
    platform.away = True
    with pytest.raises(Unavailable):
        await once()
    assert not measuring.picture.reachable
    assert measuring.picture.streams == []
