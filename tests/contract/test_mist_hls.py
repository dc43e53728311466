"""Delivery over real sockets: playlists, blocking reload, sessions, limits; and FFmpeg as publisher and player."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from fixtures_http import http_client
from fixtures_mist import (
    AUDIO,
    VIDEO,
    FakeHelmsman,
    RunningNode,
    eventually,
    helmsman,
    media,
    picture,
    running_node,
    says,
)

from frameworks.media.mist.hub.lease import Lease, Publisher
from frameworks.media.mist.hub.rendition import Rendition


class Air:
    """A live stream whose frames come when the test says so."""

    def __init__(self, node: RunningNode, fake: FakeHelmsman) -> None:
        self.node = node
        self.helmsman = fake
        self.sent = 0.0
        self.lease: Lease = node.node.hub.open("live+abc", Publisher("h", "RTMP", 1, lambda _: None), None)
        self.lease.tracks([VIDEO, AUDIO])
        self.send(4.6)

    @property
    def video(self) -> Rendition:
        """The video track."""
        stream = self.node.node.hub.find("live+abc")
        assert stream is not None
        return stream.renditions[1]

    def send(self, seconds: float) -> None:
        """Send the next frames, at once."""
        for frame in media(seconds, start=self.sent):
            self.lease.frame(frame)
        self.sent += seconds


@pytest.fixture
async def air(mist: RunningNode, fake_helmsman: FakeHelmsman) -> AsyncIterator[Air]:
    """A stream on air as `live+abc`, played as `abc`."""
    yield Air(mist, fake_helmsman)
    mist.node.hub.nuke("live+abc")


@pytest.fixture
async def viewer(mist: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the node."""
    async with http_client(base_url=mist.http, timeout=20) as client:
        yield client


async def raw(node: RunningNode, data: bytes) -> bytes:
    """Send bytes, read all until the node closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.http.rpartition(":")[2]))
    writer.write(data)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


def uris(playlist: str) -> list[str]:
    """Everything a playlist points at, hints aside."""
    quoted = re.findall(
        r'^#EXT-X-(?:MAP|PART|MEDIA|RENDITION-REPORT):.*?URI="([^"]+)"', playlist, re.MULTILINE
    )
    return quoted + [line for line in playlist.splitlines() if line and not line.startswith("#")]


async def test_everything_a_playlist_lists_can_be_fetched(air: Air, viewer: httpx.AsyncClient) -> None:
    first = await viewer.get("/cmaf/abc/index.m3u8")
    assert first.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert 'CODECS="avc1.42c01e,mp4a.40.2"' in first.text
    playlists = [first.url.join(uri) for uri in uris(first.text)]
    assert len(playlists) == 2
    for url in playlists:
        listed = await viewer.get(url)
        assert listed.status_code == 200
        for uri in uris(listed.text):
            answer = await viewer.get(url.join(uri))
            assert answer.status_code == 200, uri
            assert len(answer.content) > 100


async def test_what_players_tell_with_their_requests_is_kept_for_their_session(
    air: Air, viewer: httpx.AsyncClient
) -> None:
    first = await viewer.get("/cmaf/abc/index.m3u8", params={"CMCD": 'ot=m,sid="one"'})
    playlist = first.url.join(uris(first.text)[-1])
    assert (await viewer.get(playlist, params={"CMCD": 'br=900,ot=v,sid="one"'})).status_code == 200
    headers = {"CMCD-Object": "br=900,ot=v", "CMCD-Status": "bs", "CMCD-Session": 'sid="one"'}
    assert (await viewer.get(playlist, headers=headers)).status_code == 200
    assert (await viewer.get(playlist)).status_code == 200
    told = (await air.node.command(cmcd={}))["cmcd"]
    (session,) = air.node.node.audience.sessions()
    assert [row[1:2] + row[3:] for row in told["data"]] == [
        [session.id, 'ot=m,sid="one"'],
        [session.id, 'br=900,ot=v,sid="one"'],
        [session.id, 'br=900,ot=v,bs,sid="one"'],
    ]
    newest = {"iid": told["iid"], "after": told["data"][-1][0]}
    assert (await air.node.command(cmcd=newest))["cmcd"] == {"iid": told["iid"], "data": []}


async def test_of_who_is_refused_nothing_is_kept(air: Air, viewer: httpx.AsyncClient) -> None:
    before = (await air.node.command(cmcd={}))["cmcd"]["data"]
    answer = await viewer.get("/cmaf/nothing/index.m3u8", params={"CMCD": 'ot=m,sid="one"'})
    assert answer.status_code == 404
    assert (await air.node.command(cmcd={}))["cmcd"]["data"] == before


async def test_a_page_may_send_the_headers(viewer: httpx.AsyncClient, air: Air) -> None:
    asked = {"origin": "https://a.example", "access-control-request-headers": "cmcd-session"}
    answer = await viewer.options("/cmaf/abc/index.m3u8", headers=asked)
    assert answer.headers["access-control-allow-headers"].startswith("*")


async def test_a_blocking_reload_is_answered_after_its_part(air: Air, viewer: httpx.AsyncClient) -> None:
    rendition = air.video
    msn, part = rendition.position
    url = f"/cmaf/abc/v1/index.m3u8?_HLS_msn={msn}&_HLS_part={part}"
    asked = asyncio.create_task(viewer.get(url))
    hinted = asyncio.create_task(viewer.get(f"/cmaf/abc/v1/{msn}.{part}.m4s"))
    await eventually(lambda: _true(rendition.waiting == 2))
    assert not asked.done()
    air.send(0.3)
    answer = await asked
    assert f'URI="{msn}.{part}.m4s"' in answer.text
    assert (await hinted).content == rendition.segment(msn).parts[part].data  # type: ignore[union-attr]


async def _true(condition: bool) -> bool | None:
    return condition or None


async def test_a_hinted_part_that_never_comes_is_missing(
    mist: RunningNode, viewer: httpx.AsyncClient
) -> None:
    lease = mist.node.hub.open("live+abc", Publisher("h", "RTMP", 1, lambda _: None), None)
    lease.tracks([VIDEO])
    pictures = [picture(index, gop=54) for index in range(109)]
    for frame in pictures[:108]:
        lease.frame(frame)
    stream = mist.node.hub.find("live+abc")
    assert stream is not None
    rendition = stream.renditions[1]
    hint = rendition.position
    assert hint == (1, 9)
    hinted = asyncio.create_task(viewer.get("/cmaf/abc/v1/1.9.m4s"))
    blocked = asyncio.create_task(viewer.get("/cmaf/abc/v1/index.m3u8?_HLS_msn=1&_HLS_part=9"))
    await eventually(lambda: _true(rendition.waiting == 2))
    lease.frame(pictures[108])
    assert (await hinted).status_code == 404
    assert not blocked.done()
    for index in range(109, 115):
        lease.frame(picture(index, gop=54))
    assert 'URI="2.0.m4s"' in (await blocked).text


async def test_what_is_too_far_ahead_or_malformed_is_refused(air: Air, viewer: httpx.AsyncClient) -> None:
    msn, _ = air.video.position
    await viewer.get("/cmaf/abc/v1/index.m3u8")
    assert (await viewer.get(f"/cmaf/abc/v1/index.m3u8?_HLS_msn={msn + 2}")).status_code == 404
    for query in ("_HLS_msn=x", "_HLS_part=1", "_HLS_msn=1&_HLS_part=-1", f"_HLS_msn={'9' * 20}"):
        assert (await viewer.get(f"/cmaf/abc/v1/index.m3u8?{query}")).status_code == 400
    for path in ("v1/99.m4s", "v1/0.99.m4s", "v9/index.m3u8", "v1/init-7.mp4", "v1/x", "a/b/c/d/e"):
        assert (await viewer.get(f"/cmaf/abc/{path}")).status_code == 404


async def test_ranges_heads_and_preflights(air: Air, viewer: httpx.AsyncClient) -> None:
    whole = (await viewer.get("/cmaf/abc/v1/0.m4s")).content
    piece = await viewer.get("/cmaf/abc/v1/0.m4s", headers={"Range": "bytes=10-99"})
    assert (piece.status_code, piece.content) == (206, whole[10:100])
    assert piece.headers["content-range"] == f"bytes 10-99/{len(whole)}"
    beyond = await viewer.get("/cmaf/abc/v1/0.m4s", headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416
    head = await viewer.head("/cmaf/abc/v1/0.m4s")
    assert (head.headers["content-length"], head.content) == (str(len(whole)), b"")
    preflight = await viewer.options("/cmaf/abc/v1/0.m4s", headers={"Origin": "http://page"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert (await viewer.post("/cmaf/abc/index.m3u8")).status_code == 405


async def test_a_viewer_is_one_session_with_seconds_and_bytes(air: Air, viewer: httpx.AsyncClient) -> None:
    first = await viewer.get("/hls/abc/index.m3u8?fwcid=c0ffee")
    playlist = first.url.join(uris(first.text)[-1])
    assert (await viewer.get(playlist)).status_code == 200
    segment = await viewer.get(playlist.join("0.m4s"))
    asked = await air.helmsman.wait_for("USER_NEW")
    assert asked.lines[:2] == ["live+abc", "127.0.0.1"]
    assert asked.lines[3] == "HLS"
    assert asked.lines[4] == f"{air.node.http}/hls/abc/index.m3u8?fwcid=c0ffee"
    found = (await air.node.command(clients={}))["clients"]
    rows = [dict(zip(found["fields"], row, strict=True)) for row in found["data"]]
    viewers = [row for row in rows if row["protocol"] == "HLS"]
    assert len(viewers) == 1
    assert viewers[0]["up"] > len(segment.content)
    assert len(air.helmsman.of("USER_NEW")) == 1


async def test_two_tabs_are_two_viewers_and_none_after_they_close(fake_helmsman: FakeHelmsman) -> None:
    async with running_node(viewer_idle=timedelta(seconds=1)) as node:
        await node.configure(fake_helmsman)
        Air(node, fake_helmsman)
        async with http_client(base_url=node.http) as client:
            for _ in range(2):
                first = await client.get("/cmaf/abc/index.m3u8")
                await client.get(first.url.join(uris(first.text)[-1]))
            assert node.node.audience.counts() == {"live+abc": 2}
        ended = await fake_helmsman.wait_for("USER_END", count=2)
        assert ended.lines[1:4] == ["live+abc", "CMAF", "127.0.0.1"]
        assert node.node.audience.counts() == {}


@pytest.mark.parametrize("path", ["/json_abc.js", "/abc.jpg"])
async def test_facts_and_posters_open_no_session(air: Air, viewer: httpx.AsyncClient, path: str) -> None:
    await viewer.get(path)
    assert air.node.node.audience.sessions() == []
    assert air.helmsman.of("USER_NEW") == []


async def test_the_facts_name_tracks_and_sources(air: Air, viewer: httpx.AsyncClient) -> None:
    found = (await viewer.get("/json_ABC.js")).json()
    assert (found["type"], found["width"], found["height"]) == ("live", 640, 360)
    assert found["redirected"] == ["abc", "live+abc"]
    assert found["source"][0]["url"] == f"{air.node.http}/cmaf/abc/index.m3u8"
    assert (await viewer.get("/json_nothing.js")).json() == {"error": "Stream is offline"}
    air.helmsman.answers["PLAY_REWRITE"] = lambda _: says("", X_Mist_Trigger_Action="deny")
    rejected = (await viewer.get("/json_other.js")).json()
    assert rejected == {"error": "Playback rejected by PLAY_REWRITE trigger"}


async def test_refusals_are_mistservers(air: Air, viewer: httpx.AsyncClient) -> None:
    offline = await viewer.get("/hls/nothing/index.m3u8")
    assert (offline.status_code, "#EXT-X-ERROR: Stream open failed" in offline.text) == (200, True)
    assert (await viewer.get("/cmaf/nothing/index.m3u8")).status_code == 404
    air.helmsman.answers["USER_NEW"] = lambda _: says("false")
    denied = await viewer.get("/hls/abc/index.m3u8?tkn=denied")
    assert "#EXT-X-ERROR: Shutting down due to session end" in denied.text
    assert denied.text.endswith("#EXT-X-ENDLIST\n")
    assert (await viewer.get("/hls/abc/v1/0.m4s?tkn=denied")).status_code == 404
    air.helmsman.answers["PLAY_REWRITE"] = lambda _: says("")
    assert (await viewer.get("/hls/rejected/index.m3u8")).status_code == 404


async def test_the_end_of_a_stream_is_in_its_playlists(air: Air, viewer: httpx.AsyncClient) -> None:
    await viewer.get("/cmaf/abc/v1/index.m3u8")
    air.node.node.hub.stop(["live+abc"])
    playlist = (await viewer.get("/cmaf/abc/v1/index.m3u8")).text
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert "PRELOAD-HINT" not in playlist


async def test_a_forwarded_address_is_believed_of_a_proxy_only(air: Air, viewer: httpx.AsyncClient) -> None:
    await viewer.get("/hls/abc/index.m3u8", headers={"X-Forwarded-For": "10.9.9.9, 192.0.2.7"})
    assert (await air.helmsman.wait_for("USER_NEW")).lines[1] == "192.0.2.7"
    await viewer.get("/hls/abc/index.m3u8", headers={"X-Forwarded-For": "not an address"})
    assert (await air.helmsman.wait_for("USER_NEW", count=2)).lines[1] == "127.0.0.1"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"431"),
        (b"POST /cmaf/abc HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", b"413"),
    ],
)
async def test_garbage_is_refused_and_the_connection_closed(
    mist: RunningNode, data: bytes, status: bytes
) -> None:
    answer = await raw(mist, data)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer


async def test_pipelined_requests_are_answered_in_order(air: Air) -> None:
    ask = b"GET /cmaf/abc/v1/%d.m4s?tkn=t HTTP/1.1\r\nHost: h\r\n%s\r\n"
    answer = await raw(air.node, ask % (0, b"") + ask % (99, b"") + ask % (1, b"Connection: close\r\n"))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]


async def test_connections_are_limited() -> None:
    async with running_node(max_connections=2) as node:
        port = int(node.http.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await eventually(lambda: _true(node.node.http.connections == 2))
        assert await _refused(port)
        for _, writer in held:
            writer.close()
        await eventually(lambda: _true(node.node.http.connections == 0))


async def _refused(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True
    finally:
        writer.close()


# --- FFmpeg as publisher and player ---

PICTURE = (
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x180:rate=25",
    "-f",
    "lavfi",
    "-i",
    "sine=sample_rate=48000",
)
CODING = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-g",
    "50",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
    "-ac",
    "2",
)


async def run(*command: str) -> tuple[int, str, str]:
    """Run a program to its end: (exit code, stdout, stderr)."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def test_ffmpeg_publishes_and_plays() -> None:
    async with helmsman() as fake, running_node() as node:
        await node.configure(fake)
        push = (*("ffmpeg", "-loglevel", "error", "-re"), *PICTURE, *CODING, "-t", "9", "-f", "flv")
        publishing = asyncio.create_task(run(*push, f"{node.rtmp}/live/abc"))
        assert (await fake.wait_for("STREAM_BUFFER")).lines[1] == "FULL"
        for folder in ("hls", "cmaf"):
            url = f"{node.http}/{folder}/abc/index.m3u8"
            status, _, errors = await run(
                *(
                    "ffmpeg",
                    "-loglevel",
                    "error",
                    "-i",
                    url,
                    "-t",
                    "2",
                    "-map",
                    "0:v",
                    "-map",
                    "0:a",
                    "-f",
                    "null",
                    "-",
                )
            )
            assert status == 0, errors
        probe = (
            "ffprobe",
            "-loglevel",
            "error",
            "-show_entries",
            "stream=codec_name,width,height,sample_rate",
        )
        _, out, _ = await run(*probe, "-of", "compact=p=0", f"{node.http}/hls/abc/index.m3u8")
        assert "codec_name=h264|width=320|height=180" in out
        assert "codec_name=aac|sample_rate=48000" in out
        async with http_client() as client:
            poster = await client.get(f"{node.http}/abc.jpg")
        assert poster.content.startswith(b"\xff\xd8\xff")
        status, _, errors = await publishing
        assert status == 0, errors
        assert (await fake.wait_for("PUSH_INPUT_CLOSE")).lines[2:3] == ["RTMP"]
        assert (await fake.wait_for("STREAM_BUFFER", count=2)).lines[1] == "EMPTY"
        assert (await fake.wait_for("STREAM_END")).lines[0] == "live+abc"


async def test_without_triggers_ffmpeg_is_refused() -> None:
    async with running_node() as node:
        push = ("ffmpeg", "-loglevel", "error", *PICTURE, *CODING, "-t", "1", "-f", "flv")
        status, _, errors = await run(*push, f"{node.rtmp}/live/abc")
        assert status != 0
        assert "admits no publishers" in errors
