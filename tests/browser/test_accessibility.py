"""axe finds nothing serious on any page, dark and light, wide and on a phone; nothing needs a sideways scroll."""

import pytest
from axe_playwright_python.async_playwright import Axe
from fixtures_platform import Platform
from playwright.async_api import Browser, Page, expect

PUBLIC = ("/login", "/register", "/forgot", "/watch/{playback_id}", "/no/such/page")
MEMBER = (
    "/",
    "/streams",
    "/streams/{stream_id}",
    "/streams/{stream_id}/setup",
    "/streams/{stream_id}/viewers",
    "/streams/{stream_id}/events",
    "/streams/{stream_id}/settings",
    "/developer",
    "/nodes",
    "/account",
)
FOCUSED = """() => {
  const element = document.activeElement;
  return (element?.getAttribute("aria-label") || element?.textContent || "").trim();
}"""
SERIOUS = frozenset({"serious", "critical"})
LOOKS = {"dark": ("dark", 1280), "light": ("light", 1280), "phone": ("dark", 360)}


async def sign_in(platform: Platform, page: Page) -> None:
    await page.goto(f"{platform.url('front')}/login")
    await page.get_by_label("E-mail").fill(platform.facts["email"])
    await page.get_by_label("Password").fill(platform.facts["password"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


async def findings(page: Page) -> list[str]:
    """What axe calls serious or worse, as sentences."""
    results = await Axe().run(page)
    return [
        f"{found['id']}: {found['help']} at {found['nodes'][0]['target']}"
        for found in results.response["violations"]
        if found["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_is_accessible(platform: Platform, browser: Browser, look: str) -> None:
    scheme, width = LOOKS[look]
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    page = await context.new_page()
    wrong: dict[str, list[str]] = {}
    for signed_in, paths in ((False, PUBLIC), (True, MEMBER)):
        if signed_in:
            await sign_in(platform, page)
        for path in paths:
            await page.goto(platform.url("front") + path.format(**platform.facts))
            await expect(page.locator("h1")).to_have_count(1)
            await page.wait_for_load_state("load")
            found = await findings(page)
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                found.append("the page scrolls sideways")
            if found:
                wrong[path] = found
    await context.close()
    assert wrong == {}


async def test_everything_on_the_dashboard_can_be_reached_by_keyboard(platform: Platform, page: Page) -> None:
    await sign_in(platform, page)
    reached: set[str] = set()
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate(FOCUSED))
    assert {"Dashboard", "Streams", "Developer", "New stream"} <= reached
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
