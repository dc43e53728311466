"""The demo publisher as a program, into our RTMP listener."""

import asyncio
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from fixtures_rtmp import KEY, serving

from frameworks.media.demo.domain import FPS, NAME, SECONDS
from frameworks.media.demo.service import ensure_clip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def modified(path: Path) -> int:
    return path.stat().st_mtime_ns


async def test_the_clip_is_encoded_once_and_has_no_b_frames(cache: Path) -> None:
    clip = await ensure_clip(cache)
    made = cache / NAME
    stamp = modified(made)
    again = await ensure_clip(cache)
    video = [frame for frame in clip.frames if frame.track == 1]
    assert again == clip
    assert modified(made) == stamp
    assert {frame.cts for frame in video} == {0}
    assert [index for index, frame in enumerate(video) if frame.keyframe] == list(
        range(0, SECONDS * FPS, 2 * FPS)
    )


async def test_the_program_pushes_in_real_time(cache: Path) -> None:
    await ensure_clip(cache)
    async with serving() as (gate, _, port):
        url = f"rtmp://127.0.0.1:{port}/live/{KEY}"
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "frameworks.media.demo", url, "--cache", str(cache)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            recorder = await gate.attached.get()
            await recorder.first.wait()
        finally:
            child.terminate()
            await child.wait()
        await recorder.reason
    video, audio = recorder.tracked[0]
    assert (video.width, video.height, video.fps) == (1280, 720, Fraction(FPS))
    assert (audio.rate, audio.channels) == (48_000, 2)
    assert recorder.frames[1][0].keyframe
