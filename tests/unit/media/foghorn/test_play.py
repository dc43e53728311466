"""`/play` over HTTP: media for players, JSON for whoever asks for it, and refusals both can read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from foghorn_fakes import INTERNAL, PLAYBACK, STARTING, STREAM, TOKYO, UTRECHT, Platform

from frameworks.kit.proxies import Proxies
from frameworks.media.foghorn.api.play import application

JSON = {"accept": "application/json"}
PROXIES = Proxies.named(("127.0.0.1",))


@pytest.fixture
def platform() -> Platform:
    made = Platform()
    made.report("n1", where=UTRECHT)
    made.report("n2", where=TOKYO)
    return made


@asynccontextmanager
async def browser(platform: Platform, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A client at `address`; 127.0.0.1 is the proxy in front."""
    transport = httpx.ASGITransport(application(platform.router, PROXIES), client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://foghorn") as client:
        yield client


async def test_a_player_is_sent_straight_to_media(platform: Platform) -> None:
    async with browser(platform, "203.0.113.9") as client:
        answer = await client.get(f"/play/{PLAYBACK}")
    assert answer.status_code == 307
    assert answer.headers["location"].startswith(f"http://n2:8080/cmaf/{PLAYBACK}/index.m3u8?fwcid=")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert platform.viewers.count("n2") == (0, 1)


async def test_a_page_asks_for_json(platform: Platform) -> None:
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    async with browser(platform) as client:
        answer = await client.get(f"/play/{PLAYBACK}", headers=JSON)
    told = answer.json()
    assert answer.status_code == 200
    assert (told["state"], told["title"], told["viewers"]) == ("live", "First light", 1)
    assert told["primary"]["node_id"] == "n1"
    assert set(told["primary"]["outputs"]) == {"HLS", "HLS_CMAF"}
    assert [endpoint["node_id"] for endpoint in told["fallbacks"]] == ["n2"]
    assert (told["retry_after_ms"], answer.headers["vary"]) == (0, "Accept")
    assert platform.decisions.taken[-1].status == "success"


async def test_a_head_request_says_where_media_is(platform: Platform) -> None:
    async with browser(platform) as client:
        answer = await client.head(f"/play/{PLAYBACK}")
    assert answer.status_code == 307


async def test_a_starting_stream_is_worth_waiting_for(platform: Platform) -> None:
    platform.report("n1", STARTING)
    platform.report("n2", None)
    async with browser(platform) as client:
        media = await client.get(f"/play/{PLAYBACK}")
        page = await client.get(f"/play/{PLAYBACK}", headers=JSON)
    assert (media.status_code, media.headers["retry-after"]) == (404, "1")
    assert media.json()["error"] == "stream_starting"
    assert (page.status_code, page.json()["state"], page.json()["retry_after_ms"]) == (200, "starting", 1000)
    assert page.json()["primary"] is None


async def test_an_offline_stream_says_so(platform: Platform) -> None:
    platform.report("n1", None)
    platform.report("n2", None)
    async with browser(platform) as client:
        answer = await client.get(f"/play/{PLAYBACK}")
    assert (answer.status_code, answer.headers["retry-after"]) == (404, "3")
    assert answer.json() == {
        "error": "stream_offline",
        "message": "The stream is offline. Ask again in 3 s.",
    }


async def test_a_full_stream_says_so_to_players_and_pages(platform: Platform) -> None:
    platform.commodore.streams[PLAYBACK] = msgspec.structs.replace(STREAM, max_viewers=1)
    platform.viewers.opened("n1", "s1", INTERNAL, "")
    async with browser(platform) as client:
        media = await client.get(f"/play/{PLAYBACK}")
        page = await client.get(f"/play/{PLAYBACK}", headers=JSON)
    assert (media.status_code, media.headers["retry-after"]) == (429, "10")
    assert media.json()["error"] == "stream_full"
    assert (page.status_code, page.json()["state"], page.json()["retry_after_ms"]) == (200, "full", 10_000)
    assert (page.json()["primary"], page.json()["viewers"]) == (None, 1)
    assert "plan" in page.json()["message"]


@pytest.mark.parametrize("playback_id", ["x" * 16, "UPPER23456789abcd", "short", "%00"])
async def test_an_unknown_playback_id_is_not_found(platform: Platform, playback_id: str) -> None:
    async with browser(platform) as client:
        answer = await client.get(f"/play/{playback_id}")
    assert answer.status_code == 404
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Traceback" not in answer.text


async def test_the_protocol_can_be_chosen(platform: Platform) -> None:
    async with browser(platform) as client:
        chosen = await client.get(f"/play/{PLAYBACK}", params={"protocol": "hls"})
        unserved = await client.get(f"/play/{PLAYBACK}", params={"protocol": "WHEP"})
        garbled = await client.get(f"/play/{PLAYBACK}", params={"protocol": "../x"})
    assert "/hls/" in chosen.headers["location"]
    assert (unserved.status_code, unserved.json()["code"]) == (412, "foghorn.protocol_not_served")
    assert (garbled.status_code, garbled.json()["code"]) == (400, "foghorn.bad_playback")


async def test_a_player_may_say_where_it_is(platform: Platform) -> None:
    async with browser(platform, "198.51.100.4") as client:
        there = await client.get(f"/play/{PLAYBACK}", params={"lat": "35.7", "lon": "139.7"})
        nowhere = await client.get(f"/play/{PLAYBACK}", params={"lat": "north", "lon": "0"})
        beyond = await client.get(f"/play/{PLAYBACK}", params={"lat": "nan", "lon": "999"})
    assert there.headers["location"].startswith("http://n2")
    assert nowhere.status_code == 400
    assert beyond.headers["location"].startswith("http://n1")


async def test_the_viewers_address_is_believed_from_our_proxy_only(platform: Platform) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.9"}
    async with browser(platform) as client:
        behind = await client.get(f"/play/{PLAYBACK}", headers=forwarded)
    async with browser(platform, "198.51.100.4") as client:
        claimed = await client.get(f"/play/{PLAYBACK}", headers=forwarded)
    assert behind.headers["location"].startswith("http://n2")
    assert claimed.headers["location"].startswith("http://n1")


async def test_a_browser_may_ask_first(platform: Platform) -> None:
    async with browser(platform) as client:
        answer = await client.options(f"/play/{PLAYBACK}")
    assert answer.status_code == 204
    assert "GET" in answer.headers["access-control-allow-methods"]


async def test_while_commodore_is_away_an_unknown_stream_is_asked_for_later(platform: Platform) -> None:
    platform.commodore.away = True
    async with browser(platform) as client:
        answer = await client.get(f"/play/{PLAYBACK}")
    assert answer.status_code == 503
    assert answer.json()["error"] == "unavailable"
