"""Claim: hls.js in Chromium shows the demo stream at most 2.0 s after it happened, at the median.

Happened is the wall clock of the playlist (EXT-X-PROGRAM-DATE-TIME, when the node received the picture); shown is
`hls.playingDate` of a video that plays, set as the console's player is. Also printed: `hls.latency`, its own estimate,
and stalls. The limit it is held against, read from the playlist in the same run: the distance a player has to keep
(PART-HOLD-BACK), below which it stalls.

    python bench/hls_js.py [--seconds 20]
"""

import argparse
import asyncio
import re
import shutil
import statistics
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.async_api import Page, async_playwright
from playwright.async_api import TimeoutError as NotInTime
from running import Platform, holds, running

BOUND = 2.0
SETTLE = 10.0
HLS = Path(__file__).parents[1] / "web" / "console" / "node_modules" / "hls.js" / "dist" / "hls.min.js"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--autoplay-policy=no-user-gesture-required",
)
PAGE = """<!doctype html><video id="video" muted autoplay playsinline></video><script src="/hls.js"></script><script>
const video = document.getElementById("video"), seen = {stalls: 0, errors: []};
const hls = new Hls({lowLatencyMode: true, backBufferLength: 30, maxLiveSyncPlaybackRate: 1.08});
hls.on(Hls.Events.ERROR, (_, data) => {
  if (data.details === "bufferStalledError") seen.stalls += 1;
  else seen.errors.push(data.details + " " + (data.reason || ""));
});
hls.loadSource("%s");
hls.attachMedia(video);
function sample() {
  const date = hls.playingDate, real = date ? (Date.now() - date.getTime()) / 1000 : null;
  return {...seen, played: video.currentTime, own: hls.latency, real};
}
</script>"""


def hold_back(master: str) -> float:
    """PART-HOLD-BACK of the first variant's playlist."""
    with urllib.request.urlopen(master, timeout=20) as answer:
        variant = next(line for line in answer.read().decode().splitlines() if line and line[0] != "#")
        url = urllib.parse.urljoin(answer.url, variant)
    with urllib.request.urlopen(url, timeout=20) as answer:
        found = re.search(r"PART-HOLD-BACK=([0-9.]+)", answer.read().decode())
    if found is None:
        raise SystemExit("The playlist names no PART-HOLD-BACK.")
    return float(found[1])


@contextmanager
def served(page: str) -> Iterator[str]:
    """A tiny server of the page and hls.js; its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = self.path == "/hls.js"
            body = HLS.read_bytes() if script else page.encode()
            self.send_response(200)
            self.send_header("content-type", "text/javascript" if script else "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def watch(page: Page, origin: str, seconds: float) -> list[dict[str, Any]]:
    """Let it play, settle, then look ten times a second."""
    await page.goto(f"{origin}/")
    try:
        await page.wait_for_function("video.currentTime > 0 && hls.playingDate", timeout=60_000)
    except NotInTime:
        raise SystemExit(f"It does not play: {await page.evaluate('sample()')}") from None
    await asyncio.sleep(SETTLE)
    samples = []
    for _ in range(round(seconds * 10)):
        samples.append(await page.evaluate("sample()"))
        await asyncio.sleep(0.1)
    return samples


async def measure(platform: Platform, seconds: float) -> bool:
    """Watch the demo stream as a page of another origin does; whether the claim holds."""
    master = f"{platform.url('front')}/play/{platform.facts['playback_id']}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        with served(PAGE % master) as origin:
            samples = await watch(await browser.new_page(), origin, seconds)
        await browser.close()
    return judge(samples, hold_back(master), seconds)


def judge(samples: list[dict[str, Any]], distance: float, seconds: float) -> bool:
    """Print what was seen; whether the claim holds."""
    first, last = samples[0], samples[-1]
    real = [sample["real"] for sample in samples if sample["real"] is not None]
    own = statistics.median(sample["own"] for sample in samples)
    print(
        f"played {last['played'] - first['played']:.1f} s of {seconds:.0f} s, {last['stalls']} stalls in all"
    )
    if last["errors"]:
        print(f"hls.js complained: {sorted(set(last['errors']))}")
    print(f"hls.latency {own:.2f} s, PART-HOLD-BACK {distance:.2f} s; worst {max(real):.2f} s")
    return holds("behind the wall clock", statistics.median(real), BOUND, "s", limit=distance)


def main() -> None:
    """Start a platform and watch."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=20.0)
    chosen = arguments.parse_args()
    if not HLS.exists():
        raise SystemExit(f"{HLS} is missing: run `make console` first.")
    with running() as platform:
        kept = asyncio.run(measure(platform, chosen.seconds))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
