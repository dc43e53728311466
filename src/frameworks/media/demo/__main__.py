"""The command line: `python -m frameworks.media.demo rtmp://host/app/key --cache DIR`.

Without a URL it is read from FRAMEWORKS_DEMO_URL: arguments, and a key in them, are for every user to see.
"""

import argparse
import os
import sys
from pathlib import Path

import uvloop

from frameworks.kit import log
from frameworks.kit.clock import SystemClock
from frameworks.kit.errors import Fault
from frameworks.media.demo.service import ensure_clip, publish_forever
from frameworks.media.mist.servers.rtmp_client import RtmpPublisher


async def demo(url: str, cache: Path) -> None:
    """Push the demo clip to `url` until cancelled."""
    RtmpPublisher(url)
    clip = await ensure_clip(cache)
    await publish_forever(clip, lambda: RtmpPublisher(url), SystemClock())


def main() -> int:
    """Read the command line and push."""
    parser = argparse.ArgumentParser(prog="python -m frameworks.media.demo", description=__doc__)
    parser.add_argument("url", nargs="?", default=os.environ.get("FRAMEWORKS_DEMO_URL"), help="where to push")
    parser.add_argument("--cache", type=Path, required=True, help="directory that keeps the encoded clip")
    arguments = parser.parse_args()
    if not arguments.url:
        parser.error("say where to push: a URL, or FRAMEWORKS_DEMO_URL")
    log.setup()
    try:
        uvloop.run(demo(arguments.url, arguments.cache))
    except KeyboardInterrupt:
        return 130
    except Fault as fault:
        print(fault.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
