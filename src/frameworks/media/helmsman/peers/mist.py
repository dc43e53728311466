"""The media node's control API, MistServer's or our own: both answer alike."""

from typing import Any

import httpx
import msgspec

from frameworks.kit.errors import Unavailable
from frameworks.media.helmsman.service.measuring import LiveStream, NodeReading
from frameworks.media.helmsman.service.sampling import ClientReading
from frameworks.media.helmsman.service.storing import Held
from frameworks.media.helmsman.service.telling import Said

FIELDS = [
    "viewers",
    "inputs",
    "upbytes",
    "downbytes",
    "lastms",
    "health",
    "packsent",
    "packloss",
    "packretrans",
]
CLIENT_FIELDS = [
    *("sessid", "stream", "protocol", "conntime", "position", "up", "down"),
    *("pktcount", "pktlost", "pktretransmit"),
]
SETTLED = -5
"""The moment sessions are asked of: MistServer's statistics of the last second may not have been written yet."""

OUTPUTS = {"HLS": "/hls/$/index.m3u8", "CMAF": "/cmaf/$/index.m3u8"}
NAMES = {"HLS": "HLS", "CMAF": "HLS_CMAF"}
KIB = 1024
JSON = {"content-type": "application/json"}
"""MistServer does not read a body that is not called JSON, and answers as if there had been no command."""


class NodeAway(Unavailable):
    """The media node does not answer, or answers nonsense."""

    code = "helmsman.node_away"


class MistApi:
    """`MediaNode` over HTTP on loopback."""

    def __init__(
        self, url: str, secret: str, public_url: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=3.0, trust_env=False, transport=transport)
        self._secret = secret
        self._public_url = public_url.rstrip("/")

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def call(self, **commands: Any) -> dict[str, Any]:
        """One API request of several commands. Raises NodeAway."""
        try:
            response = await self._client.post("/api2", content=msgspec.json.encode(commands), headers=JSON)
            response.raise_for_status()
            answer = msgspec.json.decode(response.content)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise NodeAway(f"The media node's API does not answer: {error}") from error
        if not isinstance(answer, dict) or answer.get("authorize", {}).get("status") not in (None, "OK"):
            raise NodeAway("The media node's API refuses us.")
        return answer

    async def live_streams(self) -> list[LiveStream]:
        """What is live now."""
        answer = await self.call(active_streams={"fields": FIELDS, "longform": True})
        found = answer.get("active_streams") or {}
        return [_live(name, values) for name, values in found.items() if isinstance(values, dict)]

    async def last_ms(self, name: str) -> int | None:
        """The newest media time of a stream; None when the node has no such stream."""
        asked = {"streams": [name], "fields": ["lastms"], "longform": True}
        found = (await self.call(active_streams=asked)).get("active_streams") or {}
        values = found.get(name)
        return _count(values.get("lastms")) if isinstance(values, dict) else None

    async def session_ids(self) -> set[str] | None:
        """Sessions the node knows; None when it does not tell."""
        answer = await self.call(clients={"fields": ["sessid", "stream", "protocol"], "time": SETTLED})
        clients = answer.get("clients")
        if not isinstance(clients, dict) or "sessid" not in clients.get("fields", []):
            return None
        column = clients["fields"].index("sessid")
        return {row[column] for row in clients.get("data") or []}

    async def clients(self) -> list[ClientReading]:
        """Every viewer's session."""
        answer = await self.call(clients={"fields": CLIENT_FIELDS, "time": SETTLED})
        clients = answer.get("clients")
        names = clients.get("fields") if isinstance(clients, dict) else None
        if not isinstance(clients, dict) or not isinstance(names, list):
            return []
        rows = [dict(zip(names, row, strict=False)) for row in clients.get("data") or []]
        return [_client(row) for row in rows if row.get("sessid")]

    async def held(self) -> dict[str, Held]:
        """What the node holds of each stream; of a MistServer nothing is known."""
        streams = (await self._metrics()).get("streams") or {}
        told = ((name, row.get("held")) for name, row in streams.items() if isinstance(row, dict))
        return {
            name: Held(*map(_count, two)) for name, two in told if isinstance(two, list) and len(two) == 2
        }

    async def said(self, iid: str, after: int) -> Said:
        """What players told of themselves after a number; of a MistServer nothing is known."""
        told = (await self.call(cmcd={"iid": iid, "after": after})).get("cmcd")
        if not isinstance(told, dict):
            return Said(iid, [])
        try:
            return msgspec.convert(told, Said)
        except msgspec.ValidationError as error:
            raise NodeAway(f"The media node tells nonsense of its players: {error}") from error

    async def _metrics(self) -> dict[str, Any]:
        try:
            response = await self._client.get(f"/{self._secret}.json")
            response.raise_for_status()
            found = msgspec.json.decode(response.content)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise NodeAway(f"The media node's metrics do not answer: {error}") from error
        if not isinstance(found, dict):
            raise NodeAway("The media node's metrics are no object.")
        return found

    async def reading(self) -> NodeReading:
        """The node's counters."""
        found = await self._metrics()
        up, down = (found.get("bw") or [0, 0])[:2]
        spared_up, spared_down = (found.get("obw") or [0, 0])[:2]
        return NodeReading(
            cpu_permille=_count(found.get("cpu")),
            memory_total=_count(found.get("mem_total")) * KIB,
            memory_used=_count(found.get("mem_used")) * KIB,
            shm_total=_count(found.get("shm_total")) * KIB,
            shm_used=_count(found.get("shm_used")) * KIB,
            up_total=_count(up) + _count(spared_up),
            down_total=_count(down) + _count(spared_down),
            outputs=self._outputs(found.get("outputs") or {}),
        )

    async def boot_id(self) -> str:
        """The node's instance id, new at each of its boots."""
        answer = await self.call(config={})
        return str(answer.get("config", {}).get("iid", ""))

    async def stop(self, name: str) -> None:
        """Drop a stream's publisher and viewers. A list would be taken for connectors by some MistServers."""
        await self.call(stop_sessions=name)

    async def invalidate(self, name: str) -> None:
        """Ask USER_NEW again for a stream's sessions."""
        await self.call(invalidate_sessions=[name])

    def _outputs(self, told: dict[str, str]) -> dict[str, str]:
        """Public URLs of the outputs the node names, by their names in the public contract."""
        return {NAMES[name]: self._public_url + OUTPUTS[name] for name in told if name in NAMES}


def _client(row: dict[str, Any]) -> ClientReading:
    return ClientReading(
        session=str(row["sessid"]),
        stream=str(row.get("stream", "")),
        connector=str(row.get("protocol", "")),
        seconds=_count(row.get("conntime")),
        up_bytes=_count(row.get("up")),
        down_bytes=_count(row.get("down")),
        position_ms=_count(row.get("position")),
        packets_sent=_count(row.get("pktcount")),
        packets_lost=_count(row.get("pktlost")),
        packets_retransmitted=_count(row.get("pktretransmit")),
    )


def _live(name: str, values: dict[str, Any]) -> LiveStream:
    health = values.get("health")
    return LiveStream(
        name=name,
        viewers=_count(values.get("viewers")),
        inputs=_count(values.get("inputs")),
        up_bytes=_count(values.get("upbytes")),
        down_bytes=_count(values.get("downbytes")),
        last_ms=_count(values.get("lastms")),
        health=health if isinstance(health, dict) else {},
        packets_sent=_count(values.get("packsent")),
        packets_lost=_count(values.get("packloss")),
        packets_retransmitted=_count(values.get("packretrans")),
    )


def _count(value: Any) -> int:
    """A number the node tells; a stream that comes or goes has none for some fields."""
    return int(value) if isinstance(value, int | float) else 0
