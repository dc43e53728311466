"""A whole platform, started for a measurement as a user starts it: where it is, what it uses, how to judge it.

The verdict is the claim and nothing else. Beside it stand the ratio to a limit measured in the same run, which tells a
slow machine from slow code, and how busy the machine was before we began.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from frameworks.cli.layout import LOOPBACK_PORTS, PUBLIC_PORTS
from frameworks.kit.clock import random_text

START_WITHIN = 180.0
UP = b"FrameWorks is up"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_offset() -> int:
    """A port offset at which every port of a platform is free."""
    ports = (PUBLIC_PORTS | LOOPBACK_PORTS).values()
    for offset in range(11_000 + os.getpid() % 400 * 60, 44_000, 60):
        if all(_is_free(port + offset) for port in ports):
            return offset
    raise SystemExit("There are no free ports for a platform.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class Platform:
    """`frameworks up` on a directory."""

    data: Path
    offset: int = field(default_factory=free_offset)
    demo: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    process: "psutil.Popen | None" = None
    facts: dict[str, str] = field(default_factory=dict)

    def port(self, name: str) -> int:
        """The port of one listener."""
        return (PUBLIC_PORTS | LOOPBACK_PORTS)[name] + self.offset

    def url(self, name: str) -> str:
        """The HTTP origin of one listener."""
        return f"http://127.0.0.1:{self.port(name)}"

    def start(self) -> float:
        """Start it and wait for its table; seconds."""
        arguments = ["up", "--data-dir", str(self.data), "--port-offset", str(self.offset)]
        output = self.data.with_suffix(".out")
        began = time.monotonic()
        with output.open("wb") as file:
            self.process = psutil.Popen(
                [sys.executable, "-m", "frameworks", *arguments, *([] if self.demo else ["--no-demo"])],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(self.env),
                start_new_session=True,
            )
        while UP not in output.read_bytes():
            if self.process.poll() is not None or time.monotonic() > began + START_WITHIN:
                self.stop()
                raise SystemExit(f"The platform did not start:\n{output.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        took = time.monotonic() - began
        facts = self.data / "demo.json"
        self.facts = json.loads(facts.read_text()) if facts.exists() else {}
        return took

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        assert self.process is not None
        return [self.process, *self.process.children(recursive=True)]

    def processor_seconds(self) -> float:
        """Processor time of every process so far, those that ended included."""
        return sum(sum(process.cpu_times()[:4]) for process in self.processes())

    def memory(self) -> dict[str, int]:
        """Proportional set size in bytes by process: what each takes, shared pages divided among the sharers."""
        found: dict[str, int] = {}
        for process in self.processes():
            name = _name(process.cmdline())
            found[name] = found.get(name, 0) + process.memory_full_info().pss
        return found

    def trigger(self, name: str) -> str:
        """Where the media node posts a trigger."""
        secret = (self.data / "helmsman" / "node-1" / "trigger.key").read_bytes().hex()[:32]
        return f"{self.url('helmsman')}/webhooks/mist/{secret}/{name}"

    def trigger_headers(self, name: str) -> dict[str, str]:
        """What the media node sends with one firing of a trigger."""
        state = msgspec.msgpack.decode((self.data / "helmsman" / "node-1" / "state.bin").read_bytes())
        return {
            "x-trigger": name,
            "x-trigger-uuid": random_text(32),
            "x-trigger-unixmillis": str(time.time_ns() // 1_000_000),
            "x-instance": state["boot"],
            "x-pid": "1",
        }

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Run a document as the demo's owner; stops the bench on errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.facts['api_token']}"}
        request = urllib.request.Request(self.facts["graphql_url"], body, headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            answer: dict[str, Any] = json.load(response)
        if "errors" in answer:
            raise SystemExit(f"GraphQL refused: {answer['errors']}")
        data: dict[str, Any] = answer["data"]
        return data


_NAMES = {
    "demo-app": "app",
    "mist": "mist",
    "clickhouse_server": "clickhouse",
    "nats-server": "nats",
    "postgres": "postgres",
    "frameworks.media.demo": "demo",
    "up": "supervisor",
}


def _name(line: Sequence[str]) -> str:
    words = " ".join(line).replace("/", " ").replace(":", " ").replace(".engines.", " ").split()
    return next((name for mark, name in _NAMES.items() if mark in words), "other")


@contextmanager
def running(*, demo: bool = True, env: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """A platform in a scratch directory, stopped and deleted at the end."""
    tell_machine()
    with tempfile.TemporaryDirectory(prefix="fw") as scratch:
        platform = Platform(Path(scratch) / "d", demo=demo, env=env or {})
        platform.start()
        try:
            yield platform
        finally:
            platform.stop()


def p95(samples: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(samples, n=20)[18]


def show(name: str, seconds: Sequence[float]) -> float:
    """Print a distribution in milliseconds; its 95th percentile in seconds."""
    found = p95(seconds)
    middle = statistics.median(seconds)
    print(f"{name}: {len(seconds)} samples, p50 {middle * 1000:.1f} ms, p95 {found * 1000:.1f} ms")
    return found


def tell_machine() -> None:
    """Print how many processors there are, and how many tasks wanted one in the last minute."""
    print(f"machine: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start")


def holds(what: str, figure: float, bound: float, unit: str, *, limit: float) -> bool:
    """Print a figure, its ratio to the limit measured beside it, and the verdict: whether the claim is kept."""
    kept = figure <= bound
    verdict = "holds" if kept else "DOES NOT HOLD"
    ratio = f"{figure / limit:.1f} times the limit {limit:.3g} {unit}"
    print(f"{what}: {figure:.3g} {unit}, {ratio}; claim {bound:g} {unit}: {verdict}")
    return kept
