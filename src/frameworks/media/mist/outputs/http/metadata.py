"""Facts and posters of streams: asked for by pages, not by viewers, so they open no session."""

import json
from typing import Any

from frameworks.kit.errors import Fault
from frameworks.media.mist.hub.doorway import Doorway, PlaybackRejected, Visit
from frameworks.media.mist.hub.stream import LiveStream
from frameworks.media.mist.outputs.http.connection import Exchange
from frameworks.media.mist.outputs.poster import Painter

JSON = "application/json"
NEVER = "Cache-Control: no-store\r\n"
POSTER = "Cache-Control: max-age=5\r\n"
HLS_TYPE = "html5/application/vnd.apple.mpegurl"


class MetadataRoutes:
    """`/json_<name>.js` and `/<name>.jpg`."""

    def __init__(self, doorway: Doorway, painter: Painter) -> None:
        self._doorway = doorway
        self._painter = painter

    async def facts(self, exchange: Exchange, visit: Visit) -> None:
        """What the stream is and where it can be watched, or why not."""
        try:
            stream = await self._doorway.resolve(visit)
        except PlaybackRejected as rejected:
            found: dict[str, Any] = {"error": rejected.message}
        except Fault:
            found = {"error": "Stream is offline"}
        else:
            playable = stream.is_playable and stream.ended_at is None
            found = describe(stream, visit) if playable else {"error": "Stream is offline"}
        exchange.reply(200, JSON, [json.dumps(found).encode()], headers=NEVER)

    async def poster(self, exchange: Exchange, visit: Visit) -> None:
        """The newest picture."""
        try:
            stream = await self._doorway.resolve(visit)
        except Fault as fault:
            exchange.fail(404, fault.message)
            return
        jpeg = await self._painter.poster(stream.name, stream.keyframe)
        if jpeg is None:
            exchange.fail(404, "There is no picture yet.")
        else:
            exchange.reply(200, "image/jpeg", [jpeg], headers=POSTER)


def describe(stream: LiveStream, visit: Visit) -> dict[str, Any]:
    """The object of `json_<name>.js`."""
    first, last = stream.span()
    origin = visit.url.partition("/json_")[0].partition("/info_")[0]
    tracks = [rendition.track for rendition in stream.renditions.values()]
    facts = stream.describe_tracks()
    for track in facts.values():
        del track["init"]
    return {
        "type": "live",
        "width": max((track.width for track in tracks), default=0),
        "height": max((track.height for track in tracks), default=0),
        "meta": {
            "tracks": facts,
            "live": 1,
            "buffer_window": round(1000 * (last - first)),
            "jitter": max((meter.jitter_ms for meter in stream.meters.values()), default=0),
        },
        "source": [
            _source(origin, "cmaf", visit.name, "LL-HLS", 10),
            _source(origin, "hls", visit.name, "HLS", 9),
        ],
        "redirected": [visit.name, stream.name],
        "unixoffset": stream.wall_offset_ms(),
    }


def _source(origin: str, folder: str, name: str, label: str, priority: int) -> dict[str, Any]:
    relative = f"{folder}/{name}/index.m3u8"
    return {
        "url": f"{origin}/{relative}",
        "relurl": relative,
        "type": HLS_TYPE,
        "hrn": label,
        "priority": priority,
        "simul_tracks": 2,
        "total_matches": 2,
    }
