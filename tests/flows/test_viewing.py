"""Viewers: what `/play` answers, what a player gets, and that everyone who watches is counted."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fixtures_http import http_client
from fixtures_platform import Encoder, Platform, Stream, Tenant, eventually, push
from flow_viewer import Viewer

Encoders = Callable[..., Awaitable[Encoder]]
JSON = {"accept": "application/json"}


@pytest.fixture
async def browser(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that follows nothing by itself."""
    async with http_client(base_url=platform.url("front"), timeout=10.0) as client:
        yield client


@pytest.fixture(scope="module")
async def live(platform: Platform) -> AsyncIterator[Stream]:
    """A stream that can be watched, one for all tests here: none of them changes it."""
    stream = await (await platform.tenant()).stream()
    encoder = await push(f"{platform.rtmp_url}/{stream.key}", seconds=600)
    await platform.live(stream.playback_id)
    yield stream
    await encoder.stop()


async def counted(platform: Platform, stream: Stream, viewers: int) -> None:
    """Wait until the platform counts so many viewers."""

    async def reached() -> bool:
        return bool((await platform.play(stream.playback_id))["viewers"] == viewers)

    await eventually(reached, what=f"{viewers} viewers")


async def test_accept_decides_between_endpoints_and_media(
    platform: Platform, live: Stream, browser: httpx.AsyncClient
) -> None:
    endpoints = await browser.get(f"/play/{live.playback_id}", headers=JSON)
    assert (endpoints.status_code, endpoints.json()["state"]) == (200, "live")
    assert set(endpoints.json()["primary"]["outputs"]) == {"HLS", "HLS_CMAF"}
    for accept in ("*/*", "application/vnd.apple.mpegurl", "text/html,*/*;q=0.8"):
        redirect = await browser.get(f"/play/{live.playback_id}", headers={"accept": accept})
        assert redirect.status_code == 307
        assert redirect.headers["location"].startswith(f"{platform.url('media')}/cmaf/{live.playback_id}/")


async def test_the_protocol_can_be_chosen(live: Stream, browser: httpx.AsyncClient) -> None:
    redirect = await browser.get(f"/play/{live.playback_id}?protocol=hls")
    assert "/hls/" in redirect.headers["location"]
    refused = await browser.get(f"/play/{live.playback_id}?protocol=smoke", headers=JSON)
    assert refused.status_code == 412
    assert "SMOKE" in refused.json()["message"]


async def test_any_page_may_ask(live: Stream, browser: httpx.AsyncClient) -> None:
    asked = {"origin": "https://example.org", "access-control-request-method": "GET"}
    preflight = await browser.options(f"/play/{live.playback_id}", headers=asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")
    answer = await browser.get(f"/play/{live.playback_id}", headers=JSON | {"origin": "https://example.org"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers.get_list("date")) == 1


@pytest.mark.parametrize("playback_id", ["aaaaaaaaaaaaaaaa", "short", "AAAAAAAAAAAAAAAA"])
async def test_an_id_nobody_has_is_not_found(
    platform: Platform, browser: httpx.AsyncClient, playback_id: str
) -> None:
    for headers in (JSON, {"accept": "*/*"}):
        answer = await browser.get(f"/play/{playback_id}", headers=headers)
        assert answer.status_code == 404
        assert answer.json()["message"].startswith("There is no")


async def test_an_offline_stream_says_when_to_ask_again(
    platform: Platform, tenant: Tenant, browser: httpx.AsyncClient
) -> None:
    stream = await tenant.stream()
    told = await browser.get(f"/play/{stream.playback_id}", headers=JSON)
    assert (told.status_code, told.json()["state"], told.json()["primary"]) == (200, "offline", None)
    refused = await browser.get(f"/play/{stream.playback_id}")
    assert (refused.status_code, refused.json()["error"]) == (404, "stream_offline")
    assert refused.headers["retry-after"] == "3"


async def test_a_stream_is_starting_until_a_segment_is_whole(
    platform: Platform, tenant: Tenant, encoders: Encoders, browser: httpx.AsyncClient
) -> None:
    stream = await tenant.stream()
    await encoders(f"{platform.rtmp_url}/{stream.key}", gop=300)
    states: list[str] = []

    async def seen() -> bool:
        states.append((await platform.play(stream.playback_id))["state"])
        return states[-1] == "live"

    await eventually(seen, within=40.0, what="live")
    assert list(dict.fromkeys(states)) == ["offline", "starting", "live"]


async def test_two_viewers_are_two_and_none_when_they_left(platform: Platform, live: Stream) -> None:
    await counted(platform, live, 0)
    async with Viewer(platform, live.playback_id) as one, Viewer(platform, live.playback_id) as two:
        await one.progress(8)
        await two.progress(8)
        assert "#EXT-X-PART-INF" in one.playlist
        assert "CAN-BLOCK-RELOAD=YES" in one.playlist
        assert (one.starts, two.starts) == (1, 1)
        await counted(platform, live, 2)
        await look_at_facts(platform, live)
        assert (await platform.play(live.playback_id))["viewers"] == 2
    await counted(platform, live, 0)


async def look_at_facts(platform: Platform, stream: Stream) -> None:
    """What a page with a poster does while nobody watches."""
    async with http_client(base_url=platform.url("media"), timeout=10.0) as client:
        for _ in range(5):
            facts = await client.get(f"/json_{stream.playback_id}.js")
            assert facts.json()["type"] == "live"

        async def painted() -> bool:
            return (await client.get(f"/{stream.playback_id}.jpg")).content[:2] == b"\xff\xd8"

        await eventually(painted, what="a poster")


async def test_looking_at_facts_is_not_viewing(platform: Platform, live: Stream) -> None:
    await counted(platform, live, 0)
    await look_at_facts(platform, live)
    async with Viewer(platform, live.playback_id) as viewer:
        await viewer.progress()
        await counted(platform, live, 1)


async def test_a_stream_has_as_many_viewers_as_its_plan_allows(platform: Platform, live: Stream) -> None:
    await counted(platform, live, 0)
    url = (await platform.play(live.playback_id))["primary"]["url"]
    async with (
        Viewer(platform, live.playback_id) as one,
        Viewer(platform, live.playback_id) as two,
        Viewer(platform, live.playback_id) as three,
    ):
        for viewer in (one, two, three):
            await viewer.progress()
        async with http_client(timeout=10.0) as client:
            refused = await client.get(url)
        assert refused.status_code == 403
        full = await platform.play(live.playback_id)
        assert (full["state"], full["viewers"], full["primary"]) == ("full", 3, None)
        for viewer in (one, two, three):
            await viewer.progress()
