"""The RTMP listener against real FFmpeg publishers: Debian's command line, and the newer one inside PyAV."""

import asyncio
import sys
from fractions import Fraction
from itertools import pairwise

import pytest
from fixtures_rtmp import KEY, serving

from frameworks.media.mist.domain import Codec, Frame

PYAV_PUSH = """
import sys, fractions, av, numpy
url, video_codec, audio_codec = sys.argv[1:4]
out = av.open(url, "w", format="flv")
video = out.add_stream(video_codec, rate=25)
video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
preset = "12" if "svt" in video_codec else "ultrafast"
video.options = {"preset": preset, "g": "25", "x265-params": "log-level=none"}
audio = out.add_stream(audio_codec, rate=48000, layout="stereo")
samples = numpy.zeros((1, 2 * 960), dtype=numpy.int16)
for index in range(50):
    pixels = numpy.full((180, 320, 3), index * 4, dtype=numpy.uint8)
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    picture.pts, picture.time_base = index, fractions.Fraction(1, 25)
    out.mux(video.encode(picture))
    for part in range(2):
        sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        sound.sample_rate, sound.time_base = 48000, fractions.Fraction(1, 48000)
        sound.pts = (2 * index + part) * 960
        out.mux(audio.encode(sound))
out.mux(video.encode(None))
out.mux(audio.encode(None))
out.close()
"""


async def run(*command: str) -> tuple[int, str]:
    """Run a program to its end: (exit code, what it wrote to stderr)."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    return process.returncode or 0, errors.decode()


def ffmpeg(
    url: str, *, seconds: int = 4, speed: tuple[str, ...] = (), video: tuple[str, ...] = ()
) -> list[str]:
    """An ffmpeg that pushes a test picture and a tone."""
    sources = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=48000",
    ]
    coding = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
        *video,
        "-c:a",
        "aac",
    ]
    length = ["-ac", "2", "-t", str(seconds)]
    return [
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        *speed,
        *sources,
        *coding,
        *length,
        "-f",
        "flv",
        url,
    ]


def rising(frames: list[Frame]) -> bool:
    return all(a.dts < b.dts for a, b in pairwise(frames))


async def test_ffmpeg_pushes_h264_and_aac_and_every_frame_arrives() -> None:
    async with serving() as (gate, _, port):
        code, errors = await run(*ffmpeg(f"rtmp://127.0.0.1:{port}/live/{KEY}?backup=1"))
        recorder = await gate.attached.get()
        ending = await recorder.reason
    video, audio = recorder.tracked[0]
    assert (code, errors) == (0, "")
    assert gate.asked == [(f"rtmp://127.0.0.1:{port}/live/{KEY}?backup=1", "127.0.0.1", KEY)]
    assert (video.codec, video.width, video.height, video.fps) == (Codec.H264, 320, 180, Fraction(25))
    assert (audio.codec, audio.rate, audio.channels, audio.codec_string) == (
        Codec.AAC,
        48_000,
        2,
        "mp4a.40.2",
    )
    assert len(recorder.tracked) == 1
    assert len(recorder.frames[1]) == 100
    assert rising(recorder.frames[1])
    assert [frame.keyframe for frame in recorder.frames[1]][:26] == [True] + [False] * 24 + [True]
    assert [b.dts - a.dts for a, b in zip(recorder.frames[2], recorder.frames[2][1:], strict=False)] == [
        1024
    ] * (len(recorder.frames[2]) - 1)
    assert len(recorder.frames[2]) in (188, 189)
    assert ending.machine == "CLEAN_EOF"
    assert recorder.connection.app == "live"


async def test_frames_with_b_pictures_keep_their_composition_offsets() -> None:
    async with serving() as (gate, _, port):
        url = f"rtmp://127.0.0.1:{port}/live/{KEY}"
        await run(*ffmpeg(url, seconds=2, video=("-bf", "2", "-x264-params", "b-adapt=0")))
        recorder = await gate.attached.get()
        await recorder.reason
    frames = recorder.frames[1]
    assert rising(frames)
    shown = sorted(frame.dts + frame.cts for frame in frames)
    assert {b - a for a, b in pairwise(shown)} == {3600}
    assert any(frame.cts > 3600 for frame in frames)


async def test_a_denied_key_makes_ffmpeg_stop_with_a_server_error_and_no_media_is_read() -> None:
    async with serving() as (gate, server, port):
        code, errors = await run(*ffmpeg(f"rtmp://127.0.0.1:{port}/live/sk_wrong"))
        assert gate.attached.empty()
        assert server.refusals == {"mist.rtmp.denied": 1}
    assert code != 0
    assert "Server error: This stream key is not known." in errors


async def test_a_kicked_ffmpeg_is_told_why() -> None:
    async with serving() as (gate, _, port):
        url = f"rtmp://127.0.0.1:{port}/live/{KEY}"
        pushing = asyncio.create_task(run(*ffmpeg(url, seconds=600, speed=("-re",))))
        recorder = await gate.attached.get()
        await recorder.first.wait()
        recorder.connection.kick("Stopped by the owner.")
        code, errors = await pushing
        ending = await recorder.reason
    assert code != 0
    assert "Stopped by the owner." in errors
    assert ending.machine == "CLEAN_INTENDED_STOP"


@pytest.mark.parametrize(
    ("video", "audio", "codecs", "strings"),
    [
        ("libx265", "libopus", (Codec.HEVC, Codec.OPUS), ("hvc1.1.6.L60", "opus")),
        ("libsvtav1", "aac", (Codec.AV1, Codec.AAC), ("av01.0.00M.08", "mp4a.40.2")),
    ],
)
async def test_enhanced_rtmp_carries_newer_codecs(
    video: str, audio: str, codecs: tuple[Codec, Codec], strings: tuple[str, str]
) -> None:
    async with serving() as (gate, _, port):
        url = f"rtmp://127.0.0.1:{port}/live/{KEY}"
        code, errors = await run(sys.executable, "-c", PYAV_PUSH, url, video, audio)
        assert (code, errors if code else "") == (0, "")
        recorder = await gate.attached.get()
        await recorder.reason
    tracks = recorder.tracked[0]
    assert tuple(track.codec for track in tracks) == codecs
    assert (tracks[0].width, tracks[0].height) == (320, 180)
    assert tracks[0].codec_string.startswith(strings[0])
    assert tracks[1].codec_string == strings[1]
    assert len(recorder.frames[1]) == 50
    assert rising(recorder.frames[1])
    assert rising(recorder.frames[2])
