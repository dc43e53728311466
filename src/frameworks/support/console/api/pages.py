"""Pages: the built web application, with Open Graph tags where a watch page is shared."""

import re
from html import escape
from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, Response

STATIC = Path(__file__).resolve().parent.parent / "static"
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
FRESH = {"Cache-Control": "no-cache"}

MISSING = """<!doctype html><html lang="en"><title>FrameWorks</title><body><main><h1>The console is not built</h1>
<p>Run <code>make console</code> and reload this page.</p></main></body></html>"""


class Pages:
    """The files of the build, read once."""

    def __init__(
        self,
        *,
        public_url: str,
        rtmp_url: str,
        media_origins: tuple[str, ...],
        has_mail: bool,
        telemetry: bool = False,
    ) -> None:
        self._public_url = public_url.rstrip("/")
        self._media = " ".join(media_origins)
        facts = (
            f'{{"rtmpUrl":"{rtmp_url}","publicUrl":"{self._public_url}","hasMail":{str(has_mail).lower()},'
            f'"telemetry":{str(telemetry).lower()}}}'
        )
        self._facts = f'<script type="application/json" id="platform">{facts}</script>'

    def application(
        self, head: str = "", title: str = "", *, embeddable: bool = False, status: int = 200
    ) -> Response:
        """The single page of the application; its router reads the path."""
        index = STATIC / "index.html"
        if not index.exists():
            return HTMLResponse(MISSING, status_code=503)
        html = index.read_text().replace("</head>", f"{head}{self._facts}</head>", 1)
        if title:
            html = re.sub(r"<title>.*?</title>", f"<title>{escape(title)}</title>", html, count=1)
        return HTMLResponse(html, headers=FRESH | self._policy(embeddable), status_code=status)

    def watch(self, playback_id: str, title: str, description: str, *, live: bool, poster: str) -> Response:
        """The public page of one stream, with the tags that make a shared link look like it."""
        url = f"{self._public_url}/watch/{playback_id}"
        about = description or ("Live now." if live else "A live stream on FrameWorks.")
        tags = {
            "og:type": "video.other",
            "og:title": title,
            "og:description": about,
            "og:url": url,
            "og:image": poster,
            "og:video": f"{url}?embed=1",
            "og:video:type": "text/html",
            "twitter:card": "summary_large_image",
            "twitter:title": title,
            "twitter:image": poster,
        }
        head = "".join(
            f'<meta property="{name}" content="{escape(value, quote=True)}">'
            for name, value in tags.items()
            if value
        )
        return self.application(head, title, embeddable=True)

    def file(self, path: str) -> Response | None:
        """A file of the build; None when there is none of that name."""
        if "\0" in path:
            return None
        target = (STATIC / path).resolve()
        if not target.is_relative_to(STATIC) or not target.is_file():
            return None
        hashed = target.is_relative_to(STATIC / "assets")
        return FileResponse(target, headers=IMMUTABLE if hashed else FRESH)

    def _policy(self, embeddable: bool) -> dict[str, str]:
        rules = (
            "default-src 'self'",
            f"connect-src 'self' {self._media}",
            f"img-src 'self' data: {self._media}",
            f"media-src 'self' blob: {self._media}",
            "worker-src 'self' blob:",
            "style-src 'self' 'unsafe-inline'",
            "object-src 'none'",
            "base-uri 'self'",
            f"frame-ancestors {'*' if embeddable else chr(39) + 'none' + chr(39)}",
        )
        return {
            "Content-Security-Policy": "; ".join(rules),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
        }
