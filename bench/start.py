"""Claim: a warm `frameworks up` is ready within 10 s, takes 1.2 GB, and a quarter of a core while the demo runs.

Ready means that the table is printed: every process is ready and the demo stream can be watched. Warm means that the
data is there from an earlier start. Memory is the proportional set size of all processes; the quarter is processor time
over 30 s. The limits they are held against, measured in the same run on the same data: the three engines started bare,
one after the other, plus one Python that imports what every process of ours imports; the memory of those engines;
the processor time of the publisher alone, which only sends bytes it has on disk.

    python bench/start.py [--rounds 3] [--seconds 30]
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from running import Platform, holds, tell_machine

from frameworks.engines.clickhouse import ClickHouse
from frameworks.engines.nats import Nats
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit import log

READY, MEMORY, SHARE = 10.0, 1.2e9, 0.25
IMPORTS = "import asyncio, grpc.aio, google.protobuf.message, cryptography.hazmat.primitives.asymmetric.ed25519, uvloop"


class Engine(Protocol):
    """What the three have in common."""

    async def start(self) -> None:
        """Run it; returns when it answers."""

    async def stop(self) -> None:
        """Stop it; returns when it is gone."""


@dataclass(frozen=True)
class Cost:
    """Of a start: seconds, processor seconds, bytes."""

    seconds: float
    processor: float
    memory: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.processor + other.processor, self.memory + other.memory
        )


def spent() -> float:
    """Processor time of everything this process has started."""
    own = psutil.Process()
    living = sum(sum(child.cpu_times()[:4]) for child in own.children(recursive=True))
    return float(living + sum(own.cpu_times()[2:4]))


async def bare(engine: Engine) -> Cost:
    """One engine, started and stopped."""
    before, began = spent(), time.monotonic()
    await engine.start()
    took, used = time.monotonic() - began, spent() - before
    memory = sum(child.memory_full_info().pss for child in psutil.Process().children(recursive=True))
    await engine.stop()
    return Cost(took, used, memory)


async def limits(data: Path) -> Cost:
    """The engines one after the other, and one Python."""
    engines: tuple[Engine, ...] = (
        EmbeddedPostgres(data),
        Nats(data / "nats"),
        ClickHouse(data / "clickhouse"),
    )
    costs = [await bare(engine) for engine in engines]
    before, began = spent(), time.monotonic()
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", IMPORTS], check=True)
    costs.append(Cost(time.monotonic() - began, spent() - before))
    return sum(costs[1:], costs[0])


def start(platform: Platform) -> Cost:
    """One warm start."""
    took = platform.start()
    return Cost(took, platform.processor_seconds())


def idle(platform: Platform, seconds: float) -> tuple[float, float]:
    """Shares of a core over some time: of everything, and of the publisher alone."""
    publisher = next(one for one in platform.processes() if "frameworks.media.demo" in one.cmdline())
    before, own, began = platform.processor_seconds(), publisher.cpu_times(), time.monotonic()
    time.sleep(seconds)
    took, after = time.monotonic() - began, publisher.cpu_times()
    alone = sum(after[:2]) - sum(own[:2])
    return (platform.processor_seconds() - before) / took, alone / took


def measure(data: Path, rounds: int, seconds: float) -> bool:
    """Start cold once, then warm by turns with the limit; whether every claim holds."""
    platform, warm, floor = Platform(data), list[Cost](), list[Cost]()
    print(f"cold: {platform.start():.1f} s")
    for number in range(rounds):
        platform.stop()
        floor.append(asyncio.run(limits(data)))
        warm.append(start(platform))
        print(
            f"warm start {number + 1}: {warm[-1].seconds:.1f} s, {warm[-1].processor:.1f} s of processor; "
            f"bare engines and one Python: {floor[-1].seconds:.1f} s, {floor[-1].processor:.1f} s of processor"
        )
    share, alone = idle(platform, seconds)
    memory = platform.memory()
    platform.stop()
    print("memory: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sorted(memory.items())))
    ready, limit = (statistics.median(cost.seconds for cost in costs) for costs in (warm, floor))
    engines = statistics.median(cost.memory for cost in floor)
    kept = (
        holds("ready", ready, READY, "s", limit=limit),
        holds("memory", sum(memory.values()) / 1e9, MEMORY / 1e9, "GB", limit=engines / 1e9),
        holds("processor", share, SHARE, "cores", limit=alone),
    )
    return all(kept)


def main() -> None:
    """Measure in a scratch directory."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=30.0)
    chosen = arguments.parse_args()
    log.setup("ERROR")
    tell_machine()
    with tempfile.TemporaryDirectory(prefix="fw") as scratch:
        kept = measure(Path(scratch) / "d", chosen.rounds, chosen.seconds)
    sys.exit(not kept)


if __name__ == "__main__":
    main()
