"""Nodes: one link each, silence makes them stale and then forgotten, a new boot ends their sessions."""

import asyncio

import pytest
from foghorn_fakes import INTERNAL, PLAYBACK, Platform

from frameworks.media.foghorn.service import nodes as module


@pytest.fixture
def platform() -> Platform:
    return Platform()


async def test_a_command_reaches_the_node(platform: Platform) -> None:
    link = platform.nodes.connect("n1")
    assert platform.nodes.command("n1", "stop")
    async for command in link.outgoing():
        assert command == "stop"
        link.superseded.set()


async def test_a_node_that_is_not_connected_can_not_be_told(platform: Platform) -> None:
    assert not platform.nodes.command("n1", "stop")


async def test_a_node_that_does_not_keep_up_is_told_no_more(platform: Platform) -> None:
    platform.nodes.connect("n1")
    told = [platform.nodes.command("n1", "stop") for _ in range(module.MAX_COMMANDS + 1)]
    assert told == [True] * module.MAX_COMMANDS + [False]


async def test_a_newer_link_supersedes_the_older(platform: Platform) -> None:
    older = platform.nodes.connect("n1")
    reading = asyncio.ensure_future(_all(older))
    await asyncio.sleep(0)
    newer = platform.nodes.connect("n1")
    assert await reading == []
    assert older.superseded.is_set()
    assert not newer.superseded.is_set()
    assert platform.nodes.command("n1", "stop")
    assert newer.commands.qsize() == 1


async def test_the_end_of_the_older_link_leaves_the_newer_connected(platform: Platform) -> None:
    older, _ = platform.nodes.connect("n1"), platform.nodes.connect("n1")
    platform.nodes.disconnected(older)
    assert platform.nodes.command("n1", "stop")


async def test_a_node_that_disconnects_stays_in_the_picture(platform: Platform) -> None:
    link = platform.nodes.connect("n1")
    platform.report("n1")
    platform.nodes.disconnected(link)
    assert not platform.nodes.command("n1", "stop")
    assert platform.nodes.standing() == {"fresh": 1, "stale": 0}


async def test_a_connecting_node_tells_its_sessions_anew(platform: Platform) -> None:
    platform.report("n1")
    for session in ("s1", "s2"):
        platform.viewers.opened("n1", session, INTERNAL, "")
    platform.nodes.connect("n1")
    platform.viewers.opened("n1", "s2", INTERNAL, "")
    assert platform.viewers.of_stream(INTERNAL) == 1


async def test_a_new_boot_ends_the_sessions_of_the_old(platform: Platform) -> None:
    platform.report("n1", boot="boot-1")
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    platform.report("n1", boot="boot-1")
    assert platform.viewers.of_stream(INTERNAL) == 1
    platform.report("n1", boot="boot-2")
    assert platform.viewers.of_stream(INTERNAL) == 0


async def test_silence_makes_a_node_stale_and_a_report_brings_it_back(platform: Platform) -> None:
    platform.report("n1")
    await platform.clock.advance(89)
    platform.nodes.sweep()
    assert platform.nodes.standing() == {"fresh": 1, "stale": 0}
    await platform.clock.advance(2)
    platform.nodes.sweep()
    assert platform.nodes.standing() == {"fresh": 0, "stale": 1}
    platform.report("n1")
    assert platform.nodes.standing() == {"fresh": 1, "stale": 0}


async def test_a_node_whose_process_is_silent_is_out_at_once_and_back_by_itself(platform: Platform) -> None:
    platform.report("n1")
    platform.report("n2")
    platform.report("n1", answers=False)
    watch = await platform.router.watch(PLAYBACK, redirect=True)
    assert [endpoint.node for endpoint in watch.endpoints] == ["n2"]
    assert platform.nodes.standing() == {"fresh": 1, "stale": 1}
    platform.report("n2", answers=False)
    assert (await platform.router.watch(PLAYBACK, redirect=True)).state == "offline"
    platform.report("n1")
    watch = await platform.router.watch(PLAYBACK, redirect=True)
    assert [endpoint.node for endpoint in watch.endpoints] == ["n1"]


async def test_a_long_silent_node_is_forgotten_with_its_viewers(platform: Platform) -> None:
    platform.report("n1")
    platform.report("n2")
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    await platform.clock.advance(200)
    platform.report("n2")
    await platform.clock.advance(200)
    platform.nodes.sweep()
    assert platform.fleet.nodes == ["n2"]
    assert platform.nodes.addresses.keys() == {"n2"}
    assert platform.viewers.of_stream(INTERNAL) == 0


async def _all(link: module.Link[str]) -> list[str]:
    return [command async for command in link.outgoing()]
