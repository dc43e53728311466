"""The process that paints posters: keyframes on stdin, JPEGs on stdout; it ends with its input."""

import os
import resource
import sys
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.error

from frameworks.media.mist.domain import Codec
from frameworks.media.mist.outputs.poster import LENGTH, REQUEST

WIDTH = 640
MOST_MEMORY = 2 * 1024**3
DECODERS = {Codec.H264: "h264", Codec.HEVC: "hevc", Codec.AV1: "libdav1d"}


def paint(codec: Codec, init: bytes, picture: bytes) -> bytes:
    """A keyframe as JPEG, at most `WIDTH` wide; raises FFmpegError or ValueError when unreadable."""
    decoder: Any = av.CodecContext.create(DECODERS[codec], "r")
    decoder.extradata = init
    frames = decoder.decode(av.Packet(picture)) + decoder.decode(None)
    if not frames:
        raise ValueError("no picture in the keyframe")
    frame = frames[0]
    width = min(WIDTH, frame.width) & ~1
    height = max(2, frame.height * width // frame.width & ~1)
    small = frame.reformat(width=width, height=height, format="yuvj420p")
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = small.time_base = Fraction(1, 25)
    small.pts = 0
    return b"".join(bytes(packet) for packet in encoder.encode(small) + encoder.encode(None))


def _serve(source: BinaryIO, target: BinaryIO) -> None:
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        name, _, _, init_length, length = REQUEST.unpack(head)
        init, picture = source.read(init_length), source.read(length)
        try:
            jpeg = paint(Codec(name.rstrip(b"\0").decode()), init, picture)
        except (av.error.FFmpegError, ValueError):
            jpeg = b""
        target.write(LENGTH.pack(len(jpeg)) + jpeg)
        target.flush()


if __name__ == "__main__":
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    av.logging.set_level(av.logging.PANIC)
    _serve(sys.stdin.buffer, sys.stdout.buffer)
