"""What the API tells about streams, viewers and the node, in MistServer's fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from frameworks.kit.clock import Clock
from frameworks.media.mist.api.machine import Machine
from frameworks.media.mist.api.storage import Storage
from frameworks.media.mist.api.triggers import Tally
from frameworks.media.mist.hub.audience import Audience, Session
from frameworks.media.mist.hub.stream import LiveStream
from frameworks.media.mist.hub.streams import Hub

KIB = 1024
CLIENT_FIELDS = (
    *("host", "stream", "protocol", "conntime", "position", "down", "up", "downbps", "upbps", "sessid"),
    *("pktcount", "pktlost", "pktretransmit"),
)
DEFAULT_BANDWIDTH = 134_217_728


@dataclass(slots=True)
class Totals:
    """Counters since the node started that outlive streams."""

    viewers: int = 0
    inputs: int = 0
    sent: int = 0
    received: int = 0


class Reports:
    """Reads the hub and the audience; changes nothing."""

    def __init__(
        self,
        clock: Clock,
        hub: Hub,
        audience: Audience,
        storage: Storage,
        tallies: Mapping[str, Tally],
        *,
        posters: Callable[[str], int],
        public: str,
    ) -> None:
        """`posters` tells the bytes of the poster kept of a stream."""
        self.machine = Machine()
        self._clock = clock
        self._hub = hub
        self._audience = audience
        self._storage = storage
        self._tallies = tallies
        self._posters = posters
        self._public = public
        self._gone = Totals()

    def note_gone(self, stream: LiveStream) -> None:
        """Keep the totals of a stream that is forgotten."""
        self._gone.viewers += stream.totals.viewers
        self._gone.inputs += stream.totals.inputs
        self._gone.sent += stream.totals.sent
        self._gone.received += stream.totals.received

    def totals(self) -> Totals:
        """Counters since the node started."""
        found = Totals(self._gone.viewers, self._gone.inputs, self._gone.sent, self._gone.received)
        for stream in self._hub.all():
            found.viewers += stream.totals.viewers
            found.inputs += stream.totals.inputs
            found.sent += stream.totals.sent
            found.received += stream.totals.received
        return found

    # --- active_streams ---

    def active_streams(self, asked: object) -> object:
        """Any of the four shapes of `active_streams`; None when nothing is active."""
        streams = {stream.name: stream for stream in self._hub.active()}
        if not streams:
            return None
        counts = self._audience.counts()
        if isinstance(asked, list):
            return {name: self._row(stream, asked, counts) for name, stream in streams.items()}
        if isinstance(asked, dict):
            return self._chosen(streams, asked, counts)
        return list(streams)

    def _chosen(
        self, streams: dict[str, LiveStream], asked: dict[str, Any], counts: Mapping[str, int]
    ) -> object:
        wanted = asked.get("streams") or list(streams)
        fields = asked.get("fields") or list(STREAM_FIELDS)
        chosen = {
            name: stream
            for name, stream in streams.items()
            if any(_is_named(name, str(pattern)) for pattern in wanted)
        }
        rows = {name: self._row(stream, fields, counts) for name, stream in chosen.items()}
        if asked.get("longform"):
            return {name: dict(zip(fields, row, strict=True)) for name, row in rows.items()} or None
        return {"fields": fields, "data": rows}

    def _row(self, stream: LiveStream, fields: list[Any], counts: Mapping[str, int]) -> list[Any]:
        viewers = counts.get(stream.name, 0)
        return [
            STREAM_FIELDS[field](stream, viewers) if field in STREAM_FIELDS else None
            for field in map(str, fields)
        ]

    # --- clients ---

    def clients(self, asked: object) -> dict[str, Any]:
        """Viewers and publishers, one row each."""
        wanted = asked if isinstance(asked, dict) else {}
        fields = [field for field in (wanted.get("fields") or CLIENT_FIELDS) if field in CLIENT_FIELDS]
        rows = [self._viewer(session) for session in self._audience.sessions()]
        rows += [self._publisher(stream) for stream in self._hub.active() if stream.lease is not None]
        for key, column in (
            ("streams", "stream"),
            ("protocols", "protocol"),
            ("hosts", "host"),
            ("sessids", "sessid"),
        ):
            if accepted := wanted.get(key):
                rows = [row for row in rows if row[column] in accepted]
        now = int(self._clock.now().timestamp())
        return {"fields": fields, "data": [[row[field] for field in fields] for row in rows], "time": now}

    def _viewer(self, session: Session) -> dict[str, Any]:
        age = max(1, round(self._clock.monotonic() - session.started))
        stream = self._hub.find(session.stream)
        return {
            "host": session.host,
            "stream": session.stream,
            "protocol": ",".join(session.connectors),
            "conntime": age,
            "position": stream.span()[1] if stream else 0,
            "down": session.received,
            "up": session.sent,
            "downbps": session.received // age,
            "upbps": session.sent // age,
            "sessid": session.id,
            "pktcount": 0,
            "pktlost": 0,
            "pktretransmit": 0,
        }

    def _publisher(self, stream: LiveStream) -> dict[str, Any]:
        assert stream.lease is not None
        age = max(1, round((self._clock.now() - stream.started).total_seconds()))
        return {
            "host": stream.lease.publisher.host,
            "stream": stream.name,
            "protocol": f"INPUT:{stream.lease.publisher.connector}",
            "conntime": age,
            "position": stream.span()[1],
            "down": stream.totals.received,
            "up": 0,
            "downbps": stream.totals.received // age,
            "upbps": 0,
            "sessid": f"I{stream.lease.publisher.pid}",
            "pktcount": 0,
            "pktlost": 0,
            "pktretransmit": 0,
        }

    # --- the node ---

    def metrics(self) -> dict[str, Any]:
        """`/<secret>.json`."""
        counts, totals = self._audience.counts(), self.totals()
        active = self._hub.active()
        inputs = sum(stream.lease is not None for stream in active)
        memory, shared = self.machine.memory(), self.machine.shared_memory()
        return {
            "cpu": self.machine.cpu_per_mille,
            "mem_total": memory[0],
            "mem_used": memory[1],
            "shm_total": shared[0],
            "shm_used": shared[1],
            "bw": [totals.sent, totals.received],
            "obw": [0, 0],
            "st": list(self.machine.interfaces()),
            "bwlimit": int(self._storage.bandwidth.get("limit") or DEFAULT_BANDWIDTH),
            "curr": [sum(counts.values()), inputs, 0, 0, 0],
            "tot": [totals.viewers, totals.inputs, 0, 0],
            "pkts": [0, 0, 0],
            "logs": 0,
            "streams": {stream.name: self._stream(stream, counts.get(stream.name, 0)) for stream in active},
            "output_counts": self._connectors(),
            "outputs": {
                "CMAF": f"{self._public}/cmaf/$/index.m3u8",
                "HLS": f"{self._public}/hls/$/index.m3u8",
            },
            "conf_streams": list(self._storage.streams),
            "triggers": {
                n: {"count": t.count, "ms": t.ms, "fails": t.fails} for n, t in self._tallies.items()
            },
            "loc": self._storage.location,
            "tags": [],
        }

    def _stream(self, stream: LiveStream, viewers: int) -> dict[str, Any]:
        poster = self._posters(stream.name)
        size, files = stream.held()
        held = [size + poster, files + bool(poster)]
        return _stream_metrics(stream, viewers) | {"held": held}

    def _connectors(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for session in self._audience.sessions():
            for connector in session.connectors:
                found[connector] = found.get(connector, 0) + 1
        return found

    def prometheus(self) -> str:
        """`/<secret>`: the same in Prometheus' text format."""
        facts = self.metrics()
        lines = [
            f"mist_cpu {facts['cpu']}",
            f"mist_mem_total {facts['mem_total']}",
            f"mist_mem_used {facts['mem_used']}",
            f'mist_sessions_count{{sessType="viewers"}} {facts["curr"][0]}',
            f'mist_sessions_count{{sessType="incoming"}} {facts["curr"][1]}',
            f'mist_bw_total{{direction="up"}} {facts["bw"][0]}',
            f'mist_bw_total{{direction="down"}} {facts["bw"][1]}',
            f"mist_streams {len(facts['streams'])}",
        ]
        for name, tally in facts["triggers"].items():
            lines.append(f'mist_trigger_count{{trigger="{name}"}} {tally["count"]}')
            lines.append(f'mist_trigger_fails{{trigger="{name}"}} {tally["fails"]}')
        return "\n".join(lines) + "\n"


def _stream_metrics(stream: LiveStream, viewers: int) -> dict[str, Any]:
    totals = stream.totals
    return {
        "tot": [totals.viewers, totals.inputs, 0],
        "bw": [totals.sent, totals.received],
        "curr": [viewers, int(stream.lease is not None), 0, 0],
        "pkts": [0, 0, 0],
    }


def _is_named(name: str, pattern: str) -> bool:
    return name == pattern or (pattern.endswith("+") and name.startswith(pattern))


def _inputs(stream: LiveStream, viewers: int) -> int:
    return int(stream.lease is not None)


STREAM_FIELDS: dict[str, Callable[[LiveStream, int], Any]] = {
    "clients": lambda stream, viewers: viewers + _inputs(stream, viewers),
    "viewers": lambda stream, viewers: viewers,
    "inputs": _inputs,
    "outputs": lambda stream, viewers: 0,
    "unspecified": lambda stream, viewers: 0,
    "views": lambda stream, viewers: stream.totals.viewers,
    "viewseconds": lambda stream, viewers: round(stream.totals.viewer_seconds),
    "upbytes": lambda stream, viewers: stream.totals.sent,
    "downbytes": lambda stream, viewers: stream.totals.received,
    "packsent": lambda stream, viewers: 0,
    "packloss": lambda stream, viewers: 0,
    "packretrans": lambda stream, viewers: 0,
    "firstms": lambda stream, viewers: round(1000 * stream.span()[0]),
    "lastms": lambda stream, viewers: round(1000 * stream.span()[1]),
    "zerounix": lambda stream, viewers: stream.wall_offset_ms() // 1000,
    "health": lambda stream, viewers: stream.health(),
    "tracks": lambda stream, viewers: len(stream.renditions),
    "pid": lambda stream, viewers: stream.lease.publisher.pid if stream.lease else 0,
    "sourcepids": lambda stream, viewers: [stream.lease.publisher.pid] if stream.lease else [],
    "tags": lambda stream, viewers: [],
    "status": lambda stream, viewers: stream.state.value,
}
