"""`frameworks status`: what every process and engine of a data directory says of itself, and what to do."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from frameworks.assembly import TARGETS
from frameworks.cli.layout import saved_ports
from frameworks.cli.presence import announced
from frameworks.contracts.flow import READERS, remedy

SUPERVISED = {"app": "app_admin", "mist": "mist_admin"}
WITHIN = 3.0
NOT_RUNNING, NEVER = "not running", "never started"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a process."""

    module: str
    loop: str
    state: str
    restarts: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Reader:
    """How far a process has read a topic."""

    topic: str
    group: str
    lag: int
    worst_partition: int
    worst_lag: int
    last_error: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a process answered; only name and state when it did not."""

    name: str
    state: str
    pid: int = 0
    port: int = 0
    modules: tuple[str, ...] = ()
    loops: tuple[Loop, ...] = ()
    readers: tuple[Reader, ...] = ()
    edge_logs: Mapping[str, int] = field(default_factory=dict)
    dead_letters: int | None = None
    dirty_buckets: int | None = None
    problems: tuple[Mapping[str, Any], ...] = ()

    @property
    def well(self) -> bool:
        """Whether nothing of it fails."""
        return self.state == "ok" and not any(problem["broken"] for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Engine:
    """A store or log of the data directory."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything of a data directory."""

    processes: tuple[Process, ...]
    engines: tuple[Engine, ...]

    @property
    def well(self) -> bool:
        """Whether every process answers and nothing fails."""
        running = all(engine.state == "answers" for engine in self.engines)
        return bool(self.processes) and running and all(process.well for process in self.processes)

    def as_json(self) -> str:
        """For programs."""
        return json.dumps({"status": "ok" if self.well else "failing", **asdict(self)})


def look(data: Path) -> Found:
    """Ask every process and engine that ran on the directory; one that is down is said to be."""
    return Found(tuple(_processes(data)), tuple(_engines(data)))


def _processes(data: Path) -> Iterator[Process]:
    ports = saved_ports(data)
    told = announced(data)
    by_port = {port: name for name, key in SUPERVISED.items() if (port := ports.get(key))}
    alive = [present for present in told if present.runs]
    for present in alive:
        name = by_port.pop(present.port, present.name)
        yield _asked(name, present.address, present.port, pid=present.pid, modules=present.modules)
    running = {present.name for present in alive}
    elsewhere = {module for present in alive for module in present.modules}
    for port, name in by_port.items():
        if elsewhere.issuperset(TARGETS[name]):
            continue  # its modules run apart
        yield _asked(name, "127.0.0.1", port)
    for present in told:
        supervised = present.port in {ports.get(key) for key in SUPERVISED.values()}
        if not present.runs and not supervised and present.name not in running:
            yield Process(name=present.name, state=NOT_RUNNING, port=present.port, modules=present.modules)
    if not told and not ports:
        yield Process(name="app", state=NEVER)


def _asked(name: str, address: str, port: int, *, pid: int = 0, modules: tuple[str, ...] = ()) -> Process:
    host = f"[{address}]" if ":" in address else address
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    known: dict[str, Any] = {"name": name, "pid": pid, "port": port, "modules": modules}
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/health", timeout=WITHIN) as answer:
            said = json.load(answer)
        return _told(known, said)
    except (OSError, ValueError, KeyError, TypeError):
        # A process that is there and silent hangs; one that is not there has ended.
        return Process(**known, state="does not answer" if pid else NOT_RUNNING)


def _told(known: Mapping[str, Any], said: Mapping[str, Any]) -> Process:
    facts = said.get("facts", {})
    pipeline = facts.get("pipeline", {})
    return Process(
        **known,
        state=said["status"],
        loops=tuple(Loop(**loop) for loop in said.get("loops", ())),
        readers=tuple(
            Reader(
                topic,
                reader["group"],
                reader["lag"],
                reader["worst_partition"],
                reader["worst_lag"],
                reader["last_error"],
                reader["reason"],
            )
            for topic, reader in _readers(facts)
        ),
        edge_logs={name: fact["wal_bytes"] for name, fact in facts.items() if "wal_bytes" in fact},
        dead_letters=pipeline.get("dead_letters"),
        dirty_buckets=pipeline.get("dirty_buckets"),
        problems=(*_loop_problems(said), *pipeline.get("problems", ())),
    )


def _readers(facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for part in READERS:
        yield from facts.get(part, {}).items()


def _loop_problems(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Failing loops, for processes that run without Periscope's view of them."""
    if "pipeline" in said.get("facts", {}):
        return
    for loop in said.get("loops", ()):
        if loop["state"] == "failing":
            yield {
                "code": "flow.loop_failing",
                "message": f"The loop {loop['loop']} fails: {loop['last_error']}",
                "remedy": remedy("flow.loop_failing"),
                "broken": True,
            }
    for topic, reader in _readers(said.get("facts", {})):
        if reader["last_error"]:
            yield {
                "code": reader["last_error"],
                "message": f"The reader {reader['group']} of {topic} waits: {reader['reason']}",
                "remedy": remedy(reader["last_error"]),
                "broken": True,
            }


def _engines(data: Path) -> Iterator[Engine]:
    """The engines that `frameworks up` started on the directory; those elsewhere are not ours to ask."""
    if (data / "postgres").is_dir():
        address = _postgres_socket(data)
        yield _engine("postgresql", _answer(socket.AF_UNIX, str(address), _SSL_REQUEST), "postgres")
    for name, question in (("clickhouse", b"GET /ping HTTP/1.0\r\n\r\n"), ("nats", b"")):
        port = data / name / "port"
        if port.is_file():
            known = int(port.read_text() or 0)
            yield _engine(name, _answer(socket.AF_INET, ("127.0.0.1", known), question), name)


_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""What PostgreSQL answers with one letter, to anyone."""


def _engine(name: str, error: str, log: str) -> Engine:
    if not error:
        return Engine(name, "answers")
    return Engine(name, "does not answer", f"{error}: look at `frameworks logs {log}` and at the disk")


def _postgres_socket(data: Path) -> Path:
    place = data / "postgres" / "socket"
    return next(iter(sorted(place.glob(".s.PGSQL.*[0-9]"))), place / "none")


def _answer(family: int, address: Any, question: bytes) -> str:
    """Why there is no answer to `question`; empty when there is one. A process that hangs still accepts."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(WITHIN)
        try:
            probe.connect(address)
            probe.sendall(question)
            return "" if probe.recv(1) else "it hung up"
        except TimeoutError:
            return f"nothing within {WITHIN:g} s"
        except OSError as error:
            return error.strerror or str(error)
