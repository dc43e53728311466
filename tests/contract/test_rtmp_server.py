"""The RTMP listener over real sockets: who is let in, the limits, and our own publisher as the peer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fixtures_rtmp import KEY, serving

from frameworks.kit.clock import FakeClock
from frameworks.media.mist.domain import Codec, Frame, Track
from frameworks.media.mist.protocols import codecs
from frameworks.media.mist.servers.rtmp import LINGER, ServerLimits
from frameworks.media.mist.servers.rtmp_client import RtmpPublisher, TargetAway, TargetRefused

VIDEO = codecs.track(
    Codec.H264,
    bytes.fromhex("0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8"),
)
AUDIO = codecs.track(Codec.AAC, bytes.fromhex("1190"))
TRACKS = [VIDEO, AUDIO]
FRAMES = [
    Frame(1, 0, 3600, True, b"k" * 9000),
    Frame(2, 0, 0, True, b"s"),
    Frame(1, 3600, 0, False, b"i" * 200),
]


async def given(frames: Iterable[Frame]) -> AsyncIterator[Frame]:
    for frame in frames:
        yield frame


async def endless(started: asyncio.Event) -> AsyncIterator[Frame]:
    """Three frames, then a wait for ever."""
    for frame in FRAMES:
        yield frame
    started.set()
    await asyncio.Event().wait()


async def publish(port: int, key: str = KEY, tracks: list[Track] = TRACKS) -> None:
    await RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/{key}").publish(tracks, given(FRAMES))


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's) TLS settings for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rtmps")])
    today = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
    place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(place, critical=False).sign(key, hashes.SHA256())
    pem, encoding = folder / "rtmps.pem", serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(encoding))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


@pytest.mark.parametrize("codec", [Codec.AAC, Codec.OPUS])
async def test_our_publishers_frames_arrive_as_they_were_sent(codec: Codec) -> None:
    opus = codecs.track(Codec.OPUS, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0")
    async with serving() as (gate, _, port):
        await publish(port, tracks=[VIDEO, AUDIO if codec is Codec.AAC else opus])
        recorder = await gate.attached.get()
        ending = await recorder.reason
    assert [track.codec for track in recorder.tracked[0]] == [Codec.H264, codec]
    assert recorder.frames[1] == [FRAMES[0], FRAMES[2]]
    assert recorder.frames[2] == [FRAMES[1]]
    assert recorder.frames[1][0].cts == 3600
    assert ending.machine == "CLEAN_EOF"


async def test_rtmps_publishers_are_served(tmp_path: Path) -> None:
    server_tls, client_tls = self_signed(tmp_path)
    async with serving(tls=server_tls) as (gate, _, port):
        publisher = RtmpPublisher(f"rtmps://127.0.0.1:{port}/live/{KEY}", tls=client_tls)
        await publisher.publish(TRACKS, given(FRAMES))
        recorder = await gate.attached.get()
        await recorder.reason
    assert recorder.connection.secure
    assert len(recorder.frames[1]) == 2


async def test_a_denied_publisher_is_told_why() -> None:
    async with serving() as (_, server, port):
        with pytest.raises(TargetRefused, match="not known"):
            await publish(port, "sk_wrong")
        assert server.refusals == {"mist.rtmp.denied": 1}


async def test_a_stream_that_is_live_already_is_refused() -> None:
    async with serving() as (gate, _, port):
        gate.taken = True
        with pytest.raises(TargetRefused, match="live already"):
            await publish(port)


async def test_a_gate_that_fails_refuses_and_the_failure_is_reported() -> None:
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
    try:
        async with serving() as (gate, _, port):
            gate.asked = None  # type: ignore[assignment]
            with pytest.raises(TargetRefused, match="could not decide"):
                await publish(port)
    finally:
        loop.set_exception_handler(None)
    assert isinstance(reported[0], AttributeError)


async def test_a_kicked_publisher_is_told_why_and_its_ingest_closed_once() -> None:
    started = asyncio.Event()
    async with serving() as (gate, _, port):
        push = RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/{KEY}")
        pushing = asyncio.ensure_future(push.publish(TRACKS, endless(started)))
        recorder = await gate.attached.get()
        await started.wait()
        recorder.connection.kick("Stopped by the owner.")
        recorder.connection.kick("Again.")
        with pytest.raises(TargetRefused, match="Stopped by the owner"):
            await pushing
        assert (await recorder.reason).human == "Stopped by the owner."


async def test_an_ingest_that_kicks_over_the_tracks_gets_nothing_after_its_end() -> None:
    async with serving() as (gate, _, port):
        gate.kicks_tracks = True
        with pytest.raises(TargetRefused, match="These tracks"):
            await RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/{KEY}").publish(
                TRACKS, endless(asyncio.Event())
            )
        recorder = await gate.attached.get()
        await recorder.reason
    assert recorder.frames == {1: [], 2: []}


async def test_a_publisher_that_vanishes_closes_its_ingest() -> None:
    started = asyncio.Event()
    async with serving() as (gate, server, port):
        push = RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/{KEY}")
        pushing = asyncio.ensure_future(push.publish(TRACKS, endless(started)))
        recorder = await gate.attached.get()
        await started.wait()
        pushing.cancel()
        assert (await recorder.reason).machine == "CLEAN_REMOTE_CLOSE"
        assert server.refusals == {}


async def test_a_peer_that_goes_while_its_key_is_checked_leaves_nothing() -> None:
    async with serving() as (gate, server, port):
        gate.decide.clear()
        pushing = asyncio.ensure_future(publish(port))
        await gate.deciding.wait()
        assert server.connections == 1
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
    assert gate.attached.empty()
    assert server.connections == 0


async def test_connections_beyond_the_limits_are_closed_at_once() -> None:
    for limits, code in (
        (ServerLimits(connections=1), "mist.rtmp.connections"),
        (ServerLimits(connections_per_address=1), "mist.rtmp.connections_per_address"),
    ):
        async with serving(limits) as (_, server, port):
            _, first = await asyncio.open_connection("127.0.0.1", port)
            second, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await second.read() == b""
            assert server.refusals == {code: 1}
            assert server.connections == 1
            first.close()
            writer.close()


async def test_a_peer_that_does_not_ask_to_publish_in_time_is_dropped() -> None:
    clock = FakeClock()
    async with serving(ServerLimits(publish_seconds=5), clock) as (_, server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x03" + bytes(1536))
        await reader.readexactly(1)
        await clock.advance(6)
        await reader.read()
        assert server.refusals == {"mist.rtmp.unauthenticated_time": 1}
        writer.close()


async def test_a_key_check_that_never_ends_is_ended() -> None:
    clock = FakeClock()
    async with serving(ServerLimits(publish_seconds=5), clock) as (gate, server, port):
        gate.decide.clear()
        pushing = asyncio.ensure_future(publish(port))
        await gate.deciding.wait()
        await clock.advance(6)
        with pytest.raises(TargetRefused, match="in time"):
            await pushing
        assert server.refusals == {"mist.rtmp.unauthenticated_time": 1}


async def test_an_idle_publisher_is_dropped_and_one_that_ignores_it_is_cut() -> None:
    clock, started = FakeClock(), asyncio.Event()
    async with serving(ServerLimits(idle_seconds=3), clock) as (gate, server, port):
        push = RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/{KEY}")
        pushing = asyncio.ensure_future(push.publish(TRACKS, endless(started)))
        recorder = await gate.attached.get()
        await started.wait()
        await clock.advance(5)
        assert (await recorder.reason).machine == "CLEAN_INACTIVE"
        with pytest.raises(TargetRefused, match="too long"):
            await pushing
        await clock.advance(LINGER + 2)
        assert server.refusals == {"mist.rtmp.idle": 1}


async def test_a_target_that_is_not_there_is_away() -> None:
    async with serving() as (_, server, port):
        await server.close()
        with pytest.raises(TargetAway):
            await publish(port)


async def test_a_target_that_hangs_up_is_away() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listener:
        with pytest.raises(TargetAway):
            await publish(listener.sockets[0].getsockname()[1])
