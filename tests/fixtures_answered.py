"""What tests of answered operations share: the unmodified SDK, viewers over HTTP, and the marker that lists them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

import pytest
from fixtures_http import http_client
from fixtures_platform import Platform, Tenant

from frameworks.contracts.pb import commodore_v1_pb2 as commodore

if TYPE_CHECKING:
    from livepeer_frameworks import AsyncFrameWorksClient

    Client = AsyncFrameWorksClient
else:
    Client = Any  # its import takes seconds, and this file is loaded for all tests

F = TypeVar("F", bound=Callable[..., Any])

UNHURRIED = 20.0
"""Seconds a call may take on a machine that runs other suites beside this one."""


def answers(*operations: str) -> Callable[[F], F]:
    """Says that the decorated test proves these operations of the SDK; `answered.txt` lists them all."""

    def mark(test: F) -> F:
        test.answers = operations  # type: ignore[attr-defined]
        return test

    return mark


def _refuse_partial(found: Any) -> None:
    raise AssertionError(f"partial answer: {found.errors}")


SdkFactory = Callable[..., Client]


def client_of(tenant: Tenant | None, platform: Platform, *, token: str | None = None) -> Client:
    """The SDK as a tenant's program uses it; without a tenant, as the public does."""
    from livepeer_frameworks import AsyncFrameWorksClient

    given = token or (tenant.api_token if tenant else None)
    return AsyncFrameWorksClient(
        url=f"{platform.url('front')}/graphql",
        token=given,
        http_client=http_client(timeout=UNHURRIED),
        on_partial_errors=_refuse_partial,
    )


@pytest.fixture
async def sdk(platform: Platform) -> AsyncIterator[SdkFactory]:
    """`sdk(tenant)` is a client that the test's end closes; `sdk(tenant, token=…)` uses another token."""
    opened: list[Client] = []

    def make(tenant: Tenant | None = None, *, token: str | None = None) -> Client:
        opened.append(client_of(tenant, platform, token=token))
        return opened[-1]

    yield make
    for client in opened:
        await client.aclose()


@dataclass(frozen=True)
class Made:
    """A stream made by gRPC, as the console's path to Commodore makes it."""

    id: str
    title: str
    key: str
    playback_id: str


async def make_stream(platform: Platform, tenant: Tenant, title: str) -> Made:
    """A stream of the tenant's, not made through GraphQL."""
    found = await platform.commodore.CreateStream(
        commodore.CreateStreamRequest(title=title),
        metadata=(("authorization", f"Bearer {tenant.access_token}"),),
    )
    return Made(found.id, found.title, found.stream_key, found.playback_id)


@dataclass
class Viewer:
    """A player of our own: playlists and segments over HTTP."""

    task: "asyncio.Task[None]"
    began: asyncio.Event
    received: int = 0

    async def leave(self) -> None:
        """Stop asking."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def watch(platform: Platform, playback_id: str, *, agent: str = "Tester/1.0") -> Viewer:
    """Begin to watch as a player does; returns once the first segment arrived."""
    answer = await platform.live(playback_id)
    viewer = Viewer(asyncio.create_task(asyncio.sleep(0)), asyncio.Event())
    viewer.task = asyncio.create_task(_play(answer["primary"]["outputs"]["HLS"], agent, viewer))
    await asyncio.wait_for(viewer.began.wait(), 30)
    return viewer


async def _play(url: str, agent: str, viewer: Viewer) -> None:
    async with http_client(headers={"user-agent": agent}, follow_redirects=True, timeout=UNHURRIED) as http:
        master = await http.get(url)
        media = urljoin(str(master.url), _lines(master.text)[0])
        seen: set[str] = set()
        while True:
            playlist = await http.get(media)
            for line in _lines(playlist.text):
                if line not in seen:
                    seen.add(line)
                    viewer.received += len((await http.get(urljoin(media, line))).content)
                    viewer.began.set()
            await asyncio.sleep(0.5)


def _lines(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


@dataclass
class Following:
    """A subscription that runs beside the test, and what it has delivered."""

    task: "asyncio.Task[None]"
    results: list[Any]
    arrived: asyncio.Condition

    async def first(self, wanted: Callable[[Any], Any], *, within: float = 40.0) -> Any:
        """The first result, past or coming, that `wanted` accepts."""
        try:
            async with asyncio.timeout(within), self.arrived:
                while True:
                    found = next((r for r in self.results if wanted(r)), None)
                    if found is not None or self.task.done():
                        break
                    await self.arrived.wait()
        except TimeoutError:
            pytest.fail(f"no such result within {within:g} s among {self.results!r}"[:4000])
        if found is None:
            await self.task
            pytest.fail("the subscription ended")
        return found


Follow = Callable[[Any], Awaitable[Following]]


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    """`await follow(client.live_…())` opens a subscription that the test's end closes."""
    opened: list[Following] = []

    async def start(source: Any) -> Following:
        following = Following(asyncio.create_task(asyncio.sleep(0)), [], asyncio.Condition())

        async def read() -> None:
            async with aclosing(source) as results:
                async for result in results:
                    async with following.arrived:
                        following.results.append(result)
                        following.arrived.notify_all()
            async with following.arrived:
                following.arrived.notify_all()

        following.task = asyncio.create_task(read())
        opened.append(following)
        return following

    yield start
    for following in opened:
        following.task.cancel()
        await asyncio.gather(following.task, return_exceptions=True)
