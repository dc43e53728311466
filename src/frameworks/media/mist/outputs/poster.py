"""Posters: a stream's newest keyframe as JPEG, made by a process of its own: decoding stops a loop."""

import asyncio
import struct
import sys
from dataclasses import dataclass

from frameworks.kit.clock import Clock
from frameworks.kit.log import get
from frameworks.media.mist.domain import Track

log = get("mist")

FRESH = 5.0
"""Seconds a poster is shown before a new one is made."""
MAX_WAITING = 16
MAX_KEPT = 500
SECONDS_TO_MAKE = 5.0
REQUEST = struct.Struct(">8sHHII")
"""Codec, width, height, and the lengths of configuration and keyframe that follow."""
LENGTH = struct.Struct(">I")
MAX_JPEG = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Made:
    jpeg: bytes
    """Empty when the newest try failed and nothing came before."""
    at: float
    source: bytes


class Painter:
    """Makes posters one after another; remembers each for a few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made: dict[str, _Made] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: asyncio.subprocess.Process | None = None

    async def poster(self, stream: str, keyframe: tuple[Track, bytes] | None) -> bytes | None:
        """The poster of a stream, or None when none can be made now."""
        made = self._made.get(stream)
        is_fresh = made is not None and self._clock.monotonic() - made.at < FRESH
        if not is_fresh and keyframe is not None and self._waiting < MAX_WAITING:
            self._waiting += 1
            try:
                async with self._turn:
                    made = await self._paint(stream, *keyframe)
            finally:
                self._waiting -= 1
        return made.jpeg or None if made else None

    def kept(self, stream: str) -> int:
        """Bytes of the poster kept of a stream."""
        made = self._made.get(stream)
        return len(made.jpeg) if made is not None else 0

    async def _paint(self, stream: str, track: Track, picture: bytes) -> _Made:
        now, made = self._clock.monotonic(), self._made.pop(stream, None)
        if made is None or (now - made.at >= FRESH and made.source is not picture):
            jpeg = await self._try(stream, track, picture)
            made = _Made(jpeg or (made.jpeg if made else b""), now, picture)
        while len(self._made) >= MAX_KEPT:
            del self._made[next(iter(self._made))]
        self._made[stream] = made
        return made

    async def _try(self, stream: str, track: Track, picture: bytes) -> bytes:
        """A JPEG, or nothing when the picture can not be read; the process is replaced when it does not answer."""
        try:
            async with asyncio.timeout(SECONDS_TO_MAKE):
                return await self._ask(track, picture)
        except (OSError, asyncio.IncompleteReadError) as error:
            log.warning("poster.failed", stream=stream, error=type(error).__name__)
            await self.close()
            return b""

    async def _ask(self, track: Track, picture: bytes) -> bytes:
        process = await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        codec = track.codec.value.encode()
        head = REQUEST.pack(codec, track.width, track.height, len(track.init), len(picture))
        process.stdin.writelines([head, track.init, picture])
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        if length > MAX_JPEG:
            raise OSError("the painter answered too much")
        return await process.stdout.readexactly(length)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "frameworks.media.mist.outputs.poster_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        return self._process

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
