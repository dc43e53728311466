"""The chunk stream: every header form, any split, every limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.errors import Refusal
from frameworks.media.mist.protocols.rtmp.chunks import ChunkReader, ChunkWriter, basic_header
from frameworks.media.mist.protocols.rtmp.messages import Message
from frameworks.media.mist.protocols.rtmp.refusals import BadProtocol, Limits, TooLarge, TooManyChunkStreams


def messages(reader: ChunkReader, *pieces: bytes) -> list[Message]:
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (message := reader.next()) is not None:
            found.append(message)
    return found


def read(*pieces: bytes) -> list[Message]:
    return messages(ChunkReader(Limits()), *pieces)


def header(form: int, chunk_stream: int, stamp: int = 0, length: int = 0, kind: int = 9) -> bytes:
    parts = (stamp.to_bytes(3, "big"), length.to_bytes(3, "big") + bytes([kind]), (1).to_bytes(4, "little"))
    return basic_header(form, chunk_stream) + b"".join(parts[: 3 - form])


bodies = st.binary(max_size=60).flatmap(lambda seed: st.integers(0, 30).map(lambda times: seed * times))
sent = st.lists(
    st.tuples(st.sampled_from([2, 63, 64, 319, 320, 65_599]), st.integers(0, 0xFFFFFFFF), bodies), max_size=8
)


@given(sent, st.sampled_from([128, 200, 4096]), st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_what_is_written_is_read_back_however_it_is_split(
    wanted: list[tuple[int, int, bytes]], size: int, cuts: list[int]
) -> None:
    writer = ChunkWriter(size)
    expected = [Message(9, 1, stamp, body) for _, stamp, body in wanted]
    data = b"".join(
        writer.write(stream, message) for (stream, _, _), message in zip(wanted, expected, strict=True)
    )
    reader, pieces, at, turn = ChunkReader(Limits(), size), [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + cuts[turn % len(cuts)]])
        at += len(pieces[-1])
        turn += 1
    assert messages(reader, *pieces) == expected
    assert reader.received == len(data)


def test_short_headers_add_their_delta_and_keep_the_rest() -> None:
    data = header(0, 6, 1000, 3) + b"one" + header(1, 6, 40, 4) + b"four" + header(2, 6, 20) + b"five"
    data += header(3, 6) + b"more"
    assert [(m.timestamp, bytes(m.body)) for m in read(data)] == [
        (1000, b"one"),
        (1040, b"four"),
        (1060, b"five"),
        (1080, b"more"),
    ]


def test_a_bare_header_after_a_full_one_adds_the_full_ones_stamp() -> None:
    data = header(0, 6, 23, 1) + b"a" + header(3, 6) + b"b"
    assert [m.timestamp for m in read(data)] == [23, 46]


def test_interleaved_messages_are_put_together() -> None:
    video, audio = bytes(range(200)) * 3, b"sound" * 20
    data = header(0, 6, 0, 600) + video[:128] + header(0, 4, 0, 100, 8) + audio
    data += b"".join(header(3, 6) + video[at : at + 128] for at in range(128, 600, 128))
    assert [(m.type, bytes(m.body)) for m in read(data)] == [(8, audio), (9, video)]


def test_a_run_of_chunks_broken_by_another_stream_is_read_chunk_by_chunk() -> None:
    video = bytes(range(256)) * 4
    pieces = [video[at : at + 128] for at in range(0, 1024, 128)]
    data = header(0, 6, 0, 1024) + pieces[0] + b"".join(header(3, 6) + piece for piece in pieces[1:4])
    data += header(0, 4, 0, 2, 8) + b"hi" + b"".join(header(3, 6) + piece for piece in pieces[4:])
    assert [bytes(m.body) for m in read(data)] == [b"hi", video]


@pytest.mark.parametrize("repeated", [True, False])
def test_extended_timestamps_are_read_whether_repeated_or_not(repeated: bool) -> None:
    stamp = (0x01020304).to_bytes(4, "big")
    between = header(3, 6) + (stamp if repeated else b"")
    data = header(0, 6, 0xFFFFFF, 300) + stamp + b"a" * 128 + between + b"b" * 128 + between + b"c" * 44
    for cut in (*range(10, 20), 145, 146, 147, 148):
        (message,) = read(data[:cut], data[cut:])
        assert (message.timestamp, message.body) == (0x01020304, b"a" * 128 + b"b" * 128 + b"c" * 44)


def test_an_aborted_message_is_forgotten() -> None:
    reader = ChunkReader(Limits())
    assert messages(reader, header(0, 6, 0, 300) + b"a" * 128) == []
    reader.abort(6)
    reader.abort(99)
    assert [m.body for m in messages(reader, header(0, 6, 5, 2) + b"ok")] == [b"ok"]


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (header(1, 6, 0, 1), BadProtocol),
        (header(0, 6, 0, 0xFFFFFF), TooLarge),
        (b"".join(header(0, n, 0, 200) + bytes(128) for n in range(2, 40)), TooManyChunkStreams),
        (b"".join(header(0, n, 0, 7 << 20) + bytes(128) for n in range(2, 6)), TooLarge),
    ],
)
def test_what_goes_beyond_a_limit_is_refused(data: bytes, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        read(data)
