"""Encodes the clip; runs in a child process of its own, so that nothing else pays for the codecs.

python -m frameworks.media.demo.encode FILE.flv
"""

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
from numpy.typing import NDArray

from frameworks.media.demo.domain import (
    AUDIO_FRAME,
    AUDIO_RATE,
    FPS,
    GOP_SECONDS,
    HEIGHT,
    SECONDS,
    WIDTH,
)

Picture = NDArray[numpy.uint8]

_BARS = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
_GLYPHS = {
    "0": "75557",
    "1": "26227",
    "2": "71747",
    "3": "71717",
    "4": "55711",
    "5": "74717",
    "6": "74757",
    "7": "71222",
    "8": "75757",
    "9": "75717",
    ".": "00002",
}
_CELL = 24
_GRAIN = 30
"""Rows of noise that give the clip the bit rate of camera pictures."""
_WARM_UP = 2
"""Audio frames encoded before the first kept one, so that the encoder's start is not in the loop."""


def _background() -> Picture:
    picture = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
    edges = numpy.linspace(0, WIDTH, len(_BARS) + 1).astype(int)
    for colour, left, right in zip(_BARS, edges, edges[1:], strict=False):
        picture[: HEIGHT * 2 // 3, left:right] = colour
    ramp = numpy.linspace(16, 235, WIDTH).astype(numpy.uint8)
    picture[HEIGHT * 2 // 3 :] = ramp[None, :, None] // 2
    return picture


def _write(picture: Picture, text: str, left: int, top: int) -> None:
    """Draw a time in 3x5 glyphs."""
    for place, character in enumerate(text):
        for row, bits in enumerate(_GLYPHS[character]):
            for column in range(3):
                if int(bits) >> (2 - column) & 1:
                    x, y = left + (place * 4 + column) * _CELL, top + row * _CELL
                    picture[y : y + _CELL, x : x + _CELL] = 235


def _pictures() -> Iterator[Picture]:
    """Bars, a box that circles once a loop, a line that sweeps once a GOP, rolling grain, and the time."""
    background = _background()
    grain = numpy.random.default_rng(1).integers(16, 200, (_GRAIN, WIDTH, 1), numpy.uint8)
    for index in range(SECONDS * FPS):
        picture = background.copy()
        picture[-_GRAIN:] = numpy.roll(grain, (index * 7, index * 16), (0, 1))
        angle = 2 * numpy.pi * index / (SECONDS * FPS)
        x = int(WIDTH / 2 + WIDTH / 3 * numpy.cos(angle))
        y = int(HEIGHT / 3 + HEIGHT / 5 * numpy.sin(2 * angle))
        picture[y - 40 : y + 40, x - 40 : x + 40] = (235, 128, 16)
        sweep = WIDTH * (index % (GOP_SECONDS * FPS)) // (GOP_SECONDS * FPS)
        picture[HEIGHT * 2 // 3 : HEIGHT * 2 // 3 + 16, : sweep + 1] = 235
        _write(picture, f"{index / FPS:05.2f}", WIDTH // 2 - 10 * _CELL, HEIGHT * 2 // 3 + 48)
        yield picture


def _tone() -> NDArray[numpy.int16]:
    """A quiet hum, and a beep at the start of each second; one loop of it, which repeats without a click."""
    time = numpy.arange(SECONDS * AUDIO_RATE) / AUDIO_RATE
    beep = (time % 1 < 0.1) * numpy.sin(2 * numpy.pi * 1000 * time) * 0.2
    wave = numpy.sin(2 * numpy.pi * 220 * time) * 0.05 + beep
    mono = (wave * 32767).astype(numpy.int16)
    return numpy.repeat(mono, 2)


def _encode_video(stream: Any) -> list[Any]:
    packets: list[Any] = []
    for index, picture in enumerate(_pictures()):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets


def _encode_audio(stream: Any) -> list[Any]:
    """The loop's audio packets: one lap, taken after the encoder has settled."""
    lap, samples = SECONDS * AUDIO_RATE // AUDIO_FRAME, _tone()
    packets = []
    for index in range(lap + 2 * _WARM_UP):
        at = index % lap * AUDIO_FRAME * 2
        frame = av.AudioFrame.from_ndarray(
            samples[None, at : at + AUDIO_FRAME * 2], format="s16", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = (
            AUDIO_RATE,
            index * AUDIO_FRAME,
            Fraction(1, AUDIO_RATE),
        )
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets[_WARM_UP : _WARM_UP + lap]


def encode(path: Path) -> None:
    """Write the clip to `path`."""
    with av.open(str(path), "w", format="flv") as output:
        video: Any = output.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 2_000_000
        gop = GOP_SECONDS * FPS
        options = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:vbv-maxrate=2500:vbv-bufsize=2500"
        video.options = {"profile": "main", "preset": "veryfast", "x264-params": options}
        audio: Any = output.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        audio.bit_rate = 128_000
        packets = []
        for index, packet in enumerate(_encode_audio(audio)):
            packet.pts = packet.dts = index * AUDIO_FRAME
            packets.append(packet)
        packets += _encode_video(video)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)


if __name__ == "__main__":
    encode(Path(sys.argv[1]))
