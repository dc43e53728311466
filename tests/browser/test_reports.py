"""The watch page's own player tells its stream's owner how viewing went, in a real browser."""

from collections.abc import Awaitable, Callable
from typing import Any

from fixtures_platform import Encoder, Platform, eventually
from playwright.async_api import BrowserContext, Page

QOE = """
    query($id: ID) { analytics { health {
      sessionQoeSummary(streamId: $id) { sessionCount playedHours rebufferingRatio ebvsRate avgBitrateBps }
      playerBootSummary(streamId: $id) { bootCount errorCount p50TtfMs avgGatewayResolveMs }
    } } }
"""


async def test_a_viewer_who_watched_and_one_who_left_at_once_are_told_apart(
    platform: Platform, context: BrowserContext, encoders: Callable[..., Awaitable[Encoder]]
) -> None:
    owner = await platform.tenant()
    stream = await owner.stream("Reported")
    await encoders(f"{platform.rtmp_url}/{stream.key}")
    await platform.live(stream.playback_id)

    async def told() -> Any:
        return (await owner.graphql(QOE, id=stream.id))["analytics"]["health"]

    viewer = await context.new_page()
    sent: list[tuple[str, int]] = []
    viewer.on("response", lambda answer: _keep(sent, answer.url, answer.status))
    await viewer.goto(f"{platform.url('front')}/watch/{stream.playback_id}")
    await _plays(viewer)
    await viewer.close(run_before_unload=False)

    async def booted() -> Any:
        found = await told()
        return (
            found
            if found["playerBootSummary"]["bootCount"] and found["sessionQoeSummary"]["playedHours"]
            else None
        )

    found = await eventually(booted, within=40, every=0.5, what="a viewing that was reported")
    assert set(sent) == {("boot", 204)} or set(sent) == {("boot", 204), ("session", 204)}
    boots, qoe = found["playerBootSummary"], found["sessionQoeSummary"]
    assert (boots["bootCount"], boots["errorCount"]) == (1, 0)
    assert 0 < boots["avgGatewayResolveMs"] <= boots["p50TtfMs"] < 60_000
    assert (qoe["sessionCount"], qoe["ebvsRate"]) == (1, 0)
    assert 1 <= qoe["playedHours"] * 3600 < 60
    assert qoe["rebufferingRatio"] < 1
    assert qoe["avgBitrateBps"] >= 0

    hasty = await context.new_page()
    await hasty.route("**/*.m3u8*", lambda route: None)
    await hasty.goto(f"{platform.url('front')}/watch/{stream.playback_id}")
    await hasty.wait_for_selector("text=watching")
    await hasty.close(run_before_unload=False)

    async def left() -> Any:
        found = (await told())["sessionQoeSummary"]
        return found["sessionCount"] == 2 and found["ebvsRate"] == 0.5

    await eventually(left, within=40, every=0.5, what="a viewer who left before the start")


def _keep(sent: list[tuple[str, int]], url: str, status: int) -> None:
    if "/playback/telemetry/" in url:
        sent.append((url.rpartition("/")[2], status))


async def _plays(page: Page) -> None:
    async def three_seconds() -> bool:
        shown = "() => document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0"
        return bool(await page.evaluate(shown) > 90)

    await eventually(three_seconds, within=60, every=0.3, what="three seconds of pictures")
