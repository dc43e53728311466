"""A newcomer's journey in a real browser: sign up, create, push, watch, be counted, leave."""

from collections.abc import Awaitable, Callable

from fixtures_http import http_client
from fixtures_platform import Encoder, Platform, eventually
from playwright.async_api import BrowserContext, Page, expect

from frameworks.kit.clock import random_text

MOVES = """async (video) => {
  const before = video.currentTime;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return video.currentTime - before;
}"""
PASSWORD = "a long enough password"


async def verification_link(platform: Platform, email: str) -> str:
    """The link in the mail that was sent to `email`."""

    async def find() -> str | None:
        async with http_client() as client:
            mails = (await client.get(f"{platform.url('front')}/mail.json")).json()["mails"]
        return next((link for mail in mails if email in mail["to"] for link in mail["links"]), None)

    link: str = await eventually(find, what="the mail")
    return link


async def sign_up(platform: Platform, page: Page) -> None:
    """Register with the proof of work, open the mailed link, arrive signed in."""
    email = f"{random_text(10)}@example.test"
    await page.goto(f"{platform.url('front')}/register")
    await page.get_by_label("First name").fill("Ada")
    await page.get_by_label("Last name").fill("Lovelace")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    await page.goto(await verification_link(platform, email))
    await expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


async def create_stream(page: Page, name: str) -> str:
    """Create a stream in place and reveal its key."""
    await page.get_by_role("link", name="Streams", exact=True).click()
    await page.get_by_label("New stream").fill(name)
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.get_by_role("heading", name="Publish to")).to_be_visible()
    await page.get_by_role("button", name="Show the stream key").click()
    key = page.locator("code", has_text="sk_").first
    await expect(key).to_be_visible()
    return (await key.inner_text()).strip()


async def advancing(page: Page) -> None:
    """Wait until the page's video plays: its frames advance."""
    video = page.locator("video")

    async def advances() -> bool:
        return await video.count() > 0 and bool(await video.first.evaluate(MOVES) > 0.5)

    await eventually(advances, within=60, what="frames advance")


async def test_a_newcomer_goes_live_is_watched_and_counted(
    platform: Platform,
    page: Page,
    context: BrowserContext,
    encoders: Callable[..., Awaitable[Encoder]],
) -> None:
    await sign_up(platform, page)
    key = await create_stream(page, "Launch day")
    await page.get_by_role("link", name="Live", exact=True).click()
    await encoders(f"{platform.rtmp_url}/{key}")
    await expect(page.get_by_text("Live", exact=True).nth(1)).to_be_visible()
    await page.get_by_role("button", name="Share").click()
    watch_url = await page.locator("text=/\\/watch\\/[a-z0-9]{16}/").first.inner_text()
    await page.keyboard.press("Escape")

    watching = page.locator("dt", has_text="Watching now").locator("xpath=following-sibling::dd[1]")
    await advancing(page)
    await expect(watching).to_have_text("1")

    viewer = await context.new_page()
    await viewer.goto(watch_url.strip())
    await advancing(viewer)
    await expect(watching).to_have_text("2")

    chart = page.locator("canvas").first
    before = await chart.screenshot()

    async def moved() -> bool:
        return await chart.screenshot() != before

    await eventually(moved, within=20, every=1.0, what="the chart moves")
    await viewer.close()
    await page.get_by_role("link", name="Dashboard", exact=True).click()
    await expect(watching).to_have_text("0")


async def test_a_stream_that_goes_live_later_starts_by_itself(
    platform: Platform, page: Page, context: BrowserContext, encoders: Callable[..., Awaitable[Encoder]]
) -> None:
    owner = await platform.tenant()
    made = (
        await owner.graphql(
            "mutation($i: CreateStreamInput!) { createStream(input: $i) { ... on Stream { streamKey playbackId } } }",
            i={"name": "Later"},
        )
    )["createStream"]
    await page.goto(f"{platform.url('front')}/watch/{made['playbackId']}")
    await expect(page.get_by_text("offline", exact=False).first).to_be_visible()
    await encoders(f"{platform.rtmp_url}/{made['streamKey']}")
    await advancing(page)


async def test_a_wrong_password_is_said_and_a_right_one_enters(platform: Platform, page: Page) -> None:
    owner = await platform.tenant()
    await page.goto(f"{platform.url('front')}/login")
    await page.get_by_label("E-mail").fill(owner.email)
    await page.get_by_label("Password").fill("not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("Password").fill(owner.password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
