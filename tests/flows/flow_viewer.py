"""A player as far as the platform sees one: through `/play`, then blocking LL-HLS reloads and every new part."""

import asyncio
import re
from typing import Self
from urllib.parse import urljoin

import httpx
from fixtures_http import http_client
from fixtures_platform import Platform, eventually

VARIANT = re.compile(r"#EXT-X-STREAM-INF:[^\n]*\n(\S+)")
PART = re.compile(r'#EXT-X-PART:[^\n]*URI="([^"]+)"')
POSITION = re.compile(r"(\d+)(?:\.(\d+))?\.m4s")


class Viewer:
    """Watches until closed; whatever breaks, it starts again at `/play`."""

    def __init__(self, platform: Platform, playback_id: str) -> None:
        self._url = f"{platform.url('front')}/play/{playback_id}"
        self._client = http_client(timeout=10.0, follow_redirects=True)
        self._task: asyncio.Task[None] | None = None
        self.parts = 0
        self.starts = 0
        self.playlist = ""
        self.last_error = ""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.aclose()

    async def progress(self, parts: int = 4, *, within: float = 30.0) -> None:
        """Wait until so many more parts have come."""
        wanted = self.parts + parts

        async def enough() -> bool:
            return self.parts >= wanted

        await eventually(enough, within=within, what=f"{parts} more parts ({self.last_error})")

    async def _watch_forever(self) -> None:
        while True:
            try:
                await self._watch()
            except (httpx.HTTPError, LookupError) as error:
                self.last_error = repr(error)
                await asyncio.sleep(0.2)

    async def _watch(self) -> None:
        master = await self._get(self._url)
        variant = VARIANT.search(master.text)
        if variant is None:
            raise LookupError(f"no variant in {master.text[:200]!r}")
        self.starts += 1
        url = urljoin(str(master.url), variant[1])
        query, seen = "", set[str]()
        while True:
            playlist = (await self._get(url + query)).text
            self.playlist = playlist
            found = PART.findall(playlist)
            if not found:
                raise LookupError("a playlist without parts")
            for part in found if seen else found[-1:]:
                if part not in seen:
                    self._check(await self._get(urljoin(url, part)))
            seen = set(found)
            query = _next(found[-1])

    def _check(self, part: httpx.Response) -> None:
        if part.content[4:8] not in (b"moof", b"styp", b"prft"):
            raise LookupError("a part that is no CMAF chunk")
        self.parts += 1

    async def _get(self, url: str) -> httpx.Response:
        answer = await self._client.get(url)
        answer.raise_for_status()
        return answer


def _next(part: str) -> str:
    """The reload that waits for what follows this part."""
    found = POSITION.search(part)
    if found is None or found[2] is None:
        raise LookupError(f"a part without a position: {part}")
    return f"?_HLS_msn={found[1]}&_HLS_part={int(found[2]) + 1}"
