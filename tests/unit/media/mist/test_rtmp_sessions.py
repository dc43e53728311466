"""Whole RTMP sessions: captured ones, split and mutated ones, and our own client against our own server."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.kit.errors import Refusal
from frameworks.media.mist.domain import Codec, Frame
from frameworks.media.mist.protocols import flv
from frameworks.media.mist.protocols.rtmp import messages
from frameworks.media.mist.protocols.rtmp.chunks import ChunkWriter
from frameworks.media.mist.protocols.rtmp.client import BadTarget, ClientSession, Target
from frameworks.media.mist.protocols.rtmp.events import (
    Connected,
    Metadata,
    Published,
    PublishEnded,
    PublishRequested,
    Refused,
    Rejected,
    ServerEvent,
)
from frameworks.media.mist.protocols.rtmp.handshake import PACKET
from frameworks.media.mist.protocols.rtmp.media import MediaReader, TracksChanged
from frameworks.media.mist.protocols.rtmp.messages import Message, MessageType
from frameworks.media.mist.protocols.rtmp.server import ServerSession

CAPTURES = Path(__file__).parent / "captures"
H264_AAC = (CAPTURES / "ffmpeg-5.1-h264-aac.rtmp").read_bytes()
HEVC_OPUS = (CAPTURES / "ffmpeg-8.1-hevc-opus.rtmp").read_bytes()
NONCE = bytes(1528)
HELLO = b"\x03" + bytes(2 * PACKET)
CONNECT = messages.command(0, "connect", 1.0, {"app": "live", "tcUrl": "rtmp://h/live"})
PUBLISH = messages.command(1, "publish", 5.0, None, "key", "live")


def replay(session: ServerSession, *pieces: bytes) -> list[ServerEvent]:
    """Every event of these bytes, a publish request being accepted at once."""
    events: list[ServerEvent] = []
    for piece in pieces:
        fresh = session.receive(piece)
        events += fresh
        if any(isinstance(event, PublishRequested) for event in fresh):
            session.accept()
            events += session.receive(b"")
    return events


def said(*sent: Message) -> list[ServerEvent]:
    """Events of a session in which a peer shakes hands and sends these messages."""
    return replay(ServerSession(NONCE), HELLO + b"".join(ChunkWriter().write(3, message) for message in sent))


def refusal_of(events: list[ServerEvent]) -> Refusal:
    assert isinstance(events[-1], Refused)
    return events[-1].refusal


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


def test_a_captured_ffmpeg_session_is_understood() -> None:
    events = replay(ServerSession(NONCE), H264_AAC)
    key = "sk_" + "a" * 32
    connected, requested, metadata = events[:3]
    assert isinstance(connected, Connected)
    assert connected.encoder.startswith("FMLE/3.0 (compatible; Lavf59")
    assert isinstance(requested, PublishRequested)
    assert (requested.app, requested.key) == ("live", key)
    assert requested.url == f"{connected.url}/{key}?x=1"
    assert isinstance(metadata, Metadata)
    assert metadata.values["width"] == 160.0
    assert isinstance(events[-1], PublishEnded)


def media_of(capture: bytes) -> tuple[TracksChanged, list[Frame]]:
    reader, items = MediaReader(), []
    for event in replay(ServerSession(NONCE), capture):
        if isinstance(event, Metadata):
            reader.metadata(event.values)
        elif isinstance(event, Message):
            items += reader.read(event)
    first, *frames = items
    assert isinstance(first, TracksChanged)
    return first, [frame for frame in frames if isinstance(frame, Frame)]


@pytest.mark.parametrize(
    ("capture", "codecs", "pictures"),
    [(H264_AAC, [Codec.H264, Codec.AAC], 10), (HEVC_OPUS, [Codec.HEVC, Codec.OPUS], 8)],
)
def test_a_captured_session_gives_tracks_then_every_frame(
    capture: bytes, codecs: list[Codec], pictures: int
) -> None:
    changed, frames = media_of(capture)
    assert [track.codec for track in changed.tracks] == codecs
    video = [frame for frame in frames if frame.track == 1]
    assert len(video) == pictures
    assert video[0].keyframe
    assert all(len(frame.data) > 4 for frame in video)


@settings(max_examples=60)
@given(st.sampled_from([H264_AAC, HEVC_OPUS]), st.lists(st.integers(0, 1 << 16), max_size=40))
def test_any_split_of_a_session_gives_the_same_events(capture: bytes, cuts: list[int]) -> None:
    whole, split = ServerSession(NONCE), ServerSession(NONCE)
    assert replay(split, *pieces_of(capture, cuts)) == replay(whole, capture)


def test_a_session_fed_byte_by_byte_gives_the_same_events() -> None:
    pieces = [H264_AAC[at : at + 1] for at in range(len(H264_AAC))]
    assert replay(ServerSession(NONCE), *pieces) == replay(ServerSession(NONCE), H264_AAC)


@settings(max_examples=150)
@given(
    st.sampled_from([H264_AAC, HEVC_OPUS]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=20),
    st.lists(st.integers(0, 1 << 16), max_size=5),
)
def test_a_mutated_session_never_raises_and_splits_do_not_matter(
    capture: bytes, changes: list[tuple[int, int]], cuts: list[int]
) -> None:
    data = bytearray(capture)
    for at, byte in changes:
        data[1 + at % (len(data) - 1)] = byte
    whole = replay(ServerSession(NONCE), bytes(data))
    split = replay(ServerSession(NONCE), *pieces_of(bytes(data), cuts))
    assert [_told(event) for event in split] == [_told(event) for event in whole]


def _told(event: ServerEvent) -> object:
    return event.refusal.code if isinstance(event, Refused) else repr(event)


@given(st.binary(max_size=400))
def test_random_bytes_after_the_handshake_never_raise(data: bytes) -> None:
    replay(ServerSession(NONCE), HELLO + data)
    replay(ServerSession(NONCE), b"\x03" + data)


def test_nothing_is_parsed_while_the_key_is_being_checked() -> None:
    session = ServerSession(NONCE)
    writer = ChunkWriter()
    video = writer.write(6, Message(MessageType.VIDEO, 1, 0, b"\x17\0\0\0\0"))
    asked = session.receive(HELLO + writer.write(3, CONNECT) + writer.write(3, PUBLISH) + video)
    assert [type(event) for event in asked] == [Connected, PublishRequested]
    assert session.receive(video) == []
    session.accept()
    assert len(session.receive(b"")) == 2


def test_a_flood_while_the_key_is_being_checked_is_refused() -> None:
    session = ServerSession(NONCE)
    writer = ChunkWriter()
    session.receive(HELLO + writer.write(3, CONNECT) + writer.write(3, PUBLISH))
    assert refusal_of(session.receive(bytes(2 << 20))).code == "mist.rtmp.unauthenticated_bytes"
    assert session.receive(b"more") == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([PUBLISH], "mist.rtmp.protocol"),
        ([CONNECT, CONNECT], "mist.rtmp.protocol"),
        ([messages.command(0, "connect", 1.0, 5.0)], "mist.rtmp.protocol"),
        ([messages.command(0, "connect", 1.0, {"app": "a\nb"})], "mist.rtmp.protocol"),
        ([messages.command(0, "connect", 1.0, {"app": "x" * 2000})], "mist.rtmp.protocol"),
        ([messages.command(0, 7.0)], "mist.rtmp.protocol"),
        ([CONNECT, messages.command(1, "publish", 5.0, None, "?x=1")], "mist.rtmp.not_publishing"),
        ([CONNECT, messages.command(1, "play", 5.0, None, "key")], "mist.rtmp.no_playback"),
        ([CONNECT, Message(MessageType.VIDEO, 1, 0, b"\x17")], "mist.rtmp.not_publishing"),
        (
            [CONNECT, Message(MessageType.DATA, 1, 0, flv.metadata_body({"a": 1.0}))],
            "mist.rtmp.not_publishing",
        ),
        ([CONNECT, PUBLISH, PUBLISH], "mist.rtmp.protocol"),
        ([CONNECT, messages.control(MessageType.SET_CHUNK_SIZE, 1)], "mist.rtmp.chunk_size"),
        ([CONNECT, Message(MessageType.AGGREGATE, 1, 0, b"")], "mist.rtmp.protocol"),
        ([Message(MessageType.DATA, 0, 0, bytes(20_000))], "mist.rtmp.message_length"),
        ([Message(MessageType.ABORT, 0, 0, bytes(9_000))] * 10, "mist.rtmp.unauthenticated_bytes"),
        ([CONNECT, PUBLISH, Message(MessageType.DATA, 1, 0, bytes(20_000))], "mist.rtmp.message_length"),
        ([Message(MessageType.COMMAND, 0, 0, b"\xff")], "mist.amf.invalid"),
    ],
)
def test_broken_rules_end_the_session_with_their_code(sent: list[Message], code: str) -> None:
    assert refusal_of(said(*sent)).code == code


def test_an_encrypted_handshake_is_refused() -> None:
    assert refusal_of(ServerSession(NONCE).receive(b"\x06")).code == "mist.rtmp.handshake"


def test_a_refused_peer_that_is_connected_is_told_why() -> None:
    session = ServerSession(NONCE)
    session.receive(HELLO + ChunkWriter().write(3, CONNECT))
    session.data_to_send()
    session.receive(ChunkWriter().write(3, messages.command(1, "play", 5.0, None, "key")))
    answer = session.data_to_send()
    assert b"NetStream.Play.Failed" in answer
    assert b"NetStream.Publish.Failed" not in answer


def test_unknown_commands_are_answered_and_pings_returned() -> None:
    session = ServerSession(NONCE)
    writer = ChunkWriter()
    session.receive(HELLO + writer.write(3, CONNECT))
    session.data_to_send()
    session.receive(writer.write(3, messages.command(0, "_checkbw", 9.0, None)))
    assert b"NetConnection.Call.Failed" in session.data_to_send()
    session.receive(writer.write(2, messages.user_control(messages.PING_REQUEST, b"abcd")))
    assert session.data_to_send().endswith(b"\x00\x07abcd")


def test_received_bytes_are_acknowledged_within_the_peers_window() -> None:
    session = ServerSession(NONCE)
    writer = ChunkWriter()
    window = messages.control(MessageType.WINDOW_SIZE, 200_000)
    replay(session, HELLO + writer.write(3, CONNECT) + writer.write(2, window) + writer.write(3, PUBLISH))
    session.data_to_send()
    session.receive(writer.write(6, Message(MessageType.VIDEO, 1, 0, bytes(150_000))))
    assert session.data_to_send()[:8] == b"\x02\0\0\0\0\0\x04\x03"


def connected_pair() -> tuple[ClientSession, ServerSession, list[ServerEvent], list[object]]:
    """Our client and our server, talking until neither has more to say; the key is accepted."""
    client = ClientSession(Target.parse("rtmp://example.org/live/room/key?token=1"), NONCE)
    server = ServerSession(NONCE)
    heard: list[ServerEvent] = []
    told: list[object] = []
    client.start()
    while data := client.data_to_send():
        heard += replay(server, data)
        told += client.receive(server.data_to_send())
    return client, server, heard, told


def test_our_client_publishes_to_our_server() -> None:
    client, server, heard, told = connected_pair()
    assert told == [Published()]
    assert heard[-1] == PublishRequested("live/room", "key", "rtmp://example.org/live/room/key?token=1")
    client.send(MessageType.AUDIO, 5, b"\xaf\x01" + bytes(100_000))
    client.finish()
    assert replay(server, client.data_to_send()) == [
        Message(MessageType.AUDIO, 1, 5, b"\xaf\x01" + bytes(100_000)),
        PublishEnded(),
    ]


def test_our_client_reports_why_it_was_dropped() -> None:
    client, server, _, _ = connected_pair()
    server.close("Stopped by the owner.")
    assert client.receive(server.data_to_send()) == [
        Rejected("NetStream.Publish.Failed", "Stopped by the owner.")
    ]


@given(st.binary(max_size=300))
def test_a_server_that_sends_anything_never_makes_our_client_raise(data: bytes) -> None:
    client = ClientSession(Target.parse("rtmps://h/a/k"), NONCE)
    client.start()
    client.receive(HELLO + data)


@pytest.mark.parametrize(
    "url", ["http://h/a/k", "rtmp://h/a", "rtmp:///a/k", "rtmp://h:x/a/k", "rtmp://h/", "rtmp://[/a/k"]
)
def test_a_bad_push_url_is_refused(url: str) -> None:
    with pytest.raises(BadTarget):
        Target.parse(url)


def test_a_target_never_shows_its_key() -> None:
    target = Target.parse("rtmps://h:444/app/secret?x=1")
    assert (target.port, target.key, target.url) == (444, "secret?x=1", "rtmps://h:444/app")
    assert "secret" not in repr(target)
