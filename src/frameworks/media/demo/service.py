"""Use cases: have the clip, push it for ever."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import ClassVar, Protocol

from frameworks.kit import log
from frameworks.kit.clock import Clock, jitter
from frameworks.kit.errors import Fault, Unavailable
from frameworks.media.demo.domain import FPS, NAME, SECONDS, BadClip, Clip, read_clip
from frameworks.media.mist.domain import Frame, Track

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
STEADY = 60.0
"""A push that lasted this long starts the back-off anew."""
EARLY = 1 / FPS / 2
"""Frames due this soon are sent at once: fewer wake-ups, no audible difference."""


class EncodingFailed(Unavailable):
    """The child process that encodes the clip did not do so."""

    code: ClassVar = "demo.encode"


class Push(Protocol):
    """A fresh connection to the target; raises a Fault when it ends."""

    async def publish(self, tracks: tuple[Track, ...], frames: AsyncIterator[Frame]) -> None:
        """Send until the frames end."""


class Connect(Protocol):
    """Makes pushes."""

    def __call__(self) -> Push:
        """A push that has not connected yet."""


async def ensure_clip(cache: Path) -> Clip:
    """The clip in `cache`, encoded first when it is not there or not whole."""
    path = cache / NAME
    try:
        return read_clip(await asyncio.to_thread(path.read_bytes))
    except (FileNotFoundError, BadClip):
        await _encode(path)
    return read_clip(await asyncio.to_thread(path.read_bytes))


async def _encode(path: Path) -> None:
    """Encode into a file beside `path` and move it there whole, so that two starters do not meet."""
    draft = path.with_suffix(f".{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "frameworks.media.demo.encode", str(draft))
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, errors = await child.communicate()
        if child.returncode:
            raise EncodingFailed("The demo clip could not be encoded.", detail=errors.decode()[-500:])
        draft.replace(path)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        draft.unlink(missing_ok=True)


async def paced(clip: Clip, clock: Clock) -> AsyncGenerator[Frame, None]:
    """The clip for ever, each frame on its time; after a stall it goes on from now, in whole rounds."""
    start = clock.monotonic()
    turn = 0
    while True:
        for frame in clip.frames:
            due = start + turn * SECONDS + clip.seconds(frame)
            now = clock.monotonic()
            if due - now > EARLY:
                await clock.sleep(due - now)
            yield clip.later(frame, turn)
        turn += 1
        behind = clock.monotonic() - (start + turn * SECONDS)
        turn += max(0, int(behind // SECONDS))


async def publish_forever(clip: Clip, connect: Connect, clock: Clock) -> None:
    """Push the clip, again after each failure, with a growing delay."""
    logger = log.get("demo")
    delay = FIRST_DELAY
    while True:
        started = clock.monotonic()
        try:
            await connect().publish(clip.tracks, paced(clip, clock))
        except Fault as fault:
            logger.warning("push.failed", code=fault.code, reason=fault.message, **fault.facts)
        if clock.monotonic() - started >= STEADY:
            delay = FIRST_DELAY
        await clock.sleep(jitter(delay))
        delay = min(delay * 2, LONGEST_DELAY)
