"""Fuzz the RTMP parser: mutated captured sessions must end in events, never in an exception or a hang.

With atheris installed it is coverage-guided; without, a plain mutation loop:

    python tools/fuzz/rtmp.py [--seconds 15] [--seed 1]
"""

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path
from typing import Any

from frameworks.kit.errors import Refusal
from frameworks.media.mist.protocols.rtmp.events import Metadata, PublishRequested, ServerEvent
from frameworks.media.mist.protocols.rtmp.media import MediaReader
from frameworks.media.mist.protocols.rtmp.messages import Message
from frameworks.media.mist.protocols.rtmp.server import ServerSession

CAPTURES = Path(__file__).parents[2] / "tests/unit/media/mist/captures"
NONCE = bytes(1528)
SLOW = 1.0
"""CPU seconds that one input may take."""


def one_input(data: bytes) -> None:
    """Run a whole session over `data`, as the server would."""
    session, media = ServerSession(NONCE), MediaReader()
    half = len(data) // 2
    for piece in (data[:half], data[half:]):
        for event in session.receive(piece):
            take(event, media)
            if isinstance(event, PublishRequested):
                session.accept()
                for later in session.receive(b""):
                    take(later, media)
    session.data_to_send()


def take(event: ServerEvent, media: MediaReader) -> None:
    """What the server does with an event."""
    try:
        if isinstance(event, Message):
            media.read(event)
        elif isinstance(event, Metadata):
            media.metadata(event.values)
    except Refusal:
        return


def mutated(source: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with bytes changed, cut out, doubled or crossed with another."""
    data = bytearray(source.choice(seeds))
    for _ in range(source.randint(1, 12)):
        at = source.randrange(1, len(data))
        size = source.choice((1, 2, 4, 16, 128))
        match source.randrange(5):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                data[at : at + size] = source.randbytes(size)
            case 2 if len(data) > 4000:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case _:
                other = source.choice(seeds)
                start = source.randrange(len(other))
                data[at : at + size] = other[start : start + size]
    return bytes(data)


def loop(seconds: float, seed: int) -> None:
    """Mutate and run until the time is over; prints the count and the slowest input."""
    source = random.Random(seed)
    seeds = [path.read_bytes() for path in sorted(CAPTURES.glob("*.rtmp"))]
    end, count, slowest = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < end:
        data = mutated(source, seeds)
        start = time.process_time()
        try:
            one_input(data)
        except Exception:
            Path("rtmp-crash.bin").write_bytes(data)
            raise
        slowest = max(slowest, time.process_time() - start)
        count += 1
        if slowest > SLOW:
            Path("rtmp-slow.bin").write_bytes(data)
            raise SystemExit(f"one input took {slowest:.2f} s of CPU; kept as rtmp-slow.bin")
    print(f"{count} sessions, slowest {slowest * 1000:.1f} ms")


def main() -> None:
    """Read the command line and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments, rest = parser.parse_known_args()
    if importlib.util.find_spec("atheris") is None:
        loop(arguments.seconds, arguments.seed)
        return
    atheris: Any = importlib.import_module("atheris")
    limit = f"-max_total_time={int(arguments.seconds)}"
    atheris.Setup([sys.argv[0], str(CAPTURES), limit, *rest], one_input)
    atheris.instrument_all()
    atheris.Fuzz()


if __name__ == "__main__":
    main()
