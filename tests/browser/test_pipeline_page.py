"""The Pipeline page: numbers move as events flow, what breaks turns red and says what to do, only operators see it."""

import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
from axe_playwright_python.async_playwright import Axe
from fixtures_platform import Platform, Tenant, eventually
from playwright.async_api import Browser, Page, expect

SERIOUS = frozenset({"serious", "critical"})
LOOKS = {"dark": ("dark", 1280), "light": ("light", 1280), "phone": ("dark", 360)}
STATUS = "{ pipelineStatus { liveStreams problems { message } } }"


@pytest.fixture(scope="session")
async def operator(platform: Platform) -> Tenant:
    """Somebody who runs the platform."""
    return await platform.tenant(operator=True)


async def opened(platform: Platform, who: Tenant, page: Page) -> None:
    """Sign in, then look at the page."""
    await page.goto(f"{platform.url('front')}/login")
    await page.get_by_label("E-mail").fill(who.email)
    await page.get_by_label("Password").fill(who.password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    await page.goto(f"{platform.url('front')}/pipeline")


def part(page: Page, place: str) -> Any:
    """A box of the drawing."""
    return page.locator(f"[data-place={place}]")


@pytest.fixture
async def clickhouse(platform: Platform) -> AsyncIterator[psutil.Process]:
    """The analytics engine's process, which goes on whatever a test did to it."""
    assert platform.process is not None
    children = psutil.Process(platform.process.pid).children()
    (found,) = [child for child in children if "clickhouse_server" in " ".join(child.cmdline())]
    yield found
    os.kill(found.pid, signal.SIGCONT)


async def test_numbers_move_as_events_flow(
    platform: Platform, operator: Tenant, page: Page, encoders: Callable[..., Awaitable[Any]]
) -> None:
    await opened(platform, operator, page)
    stored = page.locator("[data-figure=stored]")
    await expect(stored).to_have_text(re.compile(r"^(0\.[1-9]|[1-9]).*/s$"))
    await expect(page.locator("[data-arrow=a3]")).to_have_text(re.compile(r"^(0\.[1-9]|[1-9]).*/s$"))
    encoding = part(page, "encoder")
    await expect(encoding).to_contain_text(re.compile(r"\b[1-9]\d* live"))
    tenant = await platform.tenant()
    stream = await tenant.stream()
    await encoders(f"{platform.rtmp_url}/{stream.key}")
    # The demo's and ours; those of other tests may still be on their way out.
    await expect(encoding).to_contain_text(re.compile(r"\b([2-9]|[1-9]\d+) live"))


async def test_a_stopped_store_turns_its_box_red_and_says_what_to_do(
    platform: Platform, operator: Tenant, page: Page, clickhouse: psutil.Process
) -> None:
    await opened(platform, operator, page)
    await expect(part(page, "clickhouse")).to_contain_text("Well")
    os.kill(clickhouse.pid, signal.SIGSTOP)
    await expect(part(page, "clickhouse")).to_contain_text("Broken")
    await expect(page.get_by_text("ClickHouse does not answer: ")).to_be_visible()
    await expect(page.get_by_text("frameworks logs clickhouse")).to_be_visible()
    await expect(part(page, "decklog")).to_contain_text("Well")
    os.kill(clickhouse.pid, signal.SIGCONT)
    await expect(part(page, "clickhouse")).to_contain_text("Well", timeout=60_000)


async def test_a_box_opens_by_keyboard(platform: Platform, operator: Tenant, page: Page) -> None:
    await opened(platform, operator, page)
    await expect(part(page, "ingest")).to_be_visible()
    await part(page, "ingest").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Periscope")).to_be_visible()
    await expect(page.get_by_text("Records behind")).to_be_visible()
    await expect(part(page, "ingest")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("look", LOOKS)
async def test_the_page_is_accessible(
    platform: Platform, operator: Tenant, browser: Browser, look: str
) -> None:
    scheme, width = LOOKS[look]
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    page = await context.new_page()
    await opened(platform, operator, page)
    await expect(part(page, "ingest")).to_be_visible()
    results = await Axe().run(page)
    sideways = await page.evaluate("document.documentElement.scrollWidth > innerWidth + 1")
    await context.close()
    found = [v["id"] for v in results.response["violations"] if v["impact"] in SERIOUS]
    assert (found, sideways) == ([], False)


async def test_a_tenants_owner_sees_nothing_of_it(platform: Platform, tenant: Tenant, page: Page) -> None:
    await opened(platform, tenant, page)
    await expect(page.get_by_text("This page is for those who run the platform.")).to_be_visible()
    await expect(page.get_by_role("link", name="Pipeline")).to_have_count(0)

    async def refused() -> str:
        (error,) = (await tenant.post(STATUS))["errors"]
        return str(error["extensions"]["code"])

    assert await eventually(refused) == "FORBIDDEN"
