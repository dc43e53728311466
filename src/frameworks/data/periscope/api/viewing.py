"""Calls about viewing as players report it."""

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.contracts.viewing import WATCHED_BUCKET
from frameworks.data.periscope.api.messages import page_of, paged_rows, row, wanted
from frameworks.data.periscope.domain import reached
from frameworks.data.periscope.service.history import Figure, History, Listed, Row
from frameworks.kit.clock import Clock
from frameworks.kit.rpc import Call

SPANS = ("resolve", "hydrate", "select", "connect", "prebuffer")
TOP = 10
MOST_TOP = 100


class ViewingApi:
    """PeriscopeService: viewing."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def GetViewing(self, request: pb.HistoryRequest, call: Call) -> pb.Viewing:
        """Sums over all reports."""
        asked = wanted(request, self._clock)
        return row(pb.Viewing, await self._history.one(call.tenant, Figure.VIEWING, asked))

    async def GetViewingSeries(self, request: pb.GetSeriesRequest, call: Call) -> pb.ViewingSeries:
        """Sums by interval."""
        asked = wanted(request, self._clock)
        found = await self._history.by_interval(call.tenant, Figure.VIEWING_SERIES, asked, request.interval)
        points = [pb.ViewingPoint(at=one["at"], viewing=row(pb.Viewing, one)) for one in found]
        return pb.ViewingSeries(points=points)

    async def GetBoots(self, request: pb.HistoryRequest, call: Call) -> pb.Boots:
        """How players came to their first frame."""
        found = await self._history.one(call.tenant, Figure.BOOTS, wanted(request, self._clock))
        return _boots(found)

    async def GetBootSeries(self, request: pb.GetSeriesRequest, call: Call) -> pb.BootSeries:
        """The same by interval."""
        asked = wanted(request, self._clock)
        found = await self._history.by_interval(call.tenant, Figure.BOOT_SERIES, asked, request.interval)
        return pb.BootSeries(points=[pb.BootPoint(at=one["at"], boots=_boots(one)) for one in found])

    async def GetRetention(self, request: pb.HistoryRequest, call: Call) -> pb.Retention:
        """How far viewers of an artifact came, and which parts they watched."""
        found = await self._history.retention(call.tenant, wanted(request, self._clock))
        duration = found["duration_s"]
        buckets = -(-duration // WATCHED_BUCKET)
        watched = [int(seconds) for seconds in found["watched_s"][:buckets]]
        return pb.Retention(
            bucket_s=WATCHED_BUCKET,
            duration_s=duration,
            sessions=found["sessions"],
            watched_s=watched + [0] * (buckets - len(watched)),
            reached=reached(found["furthest"], buckets) if buckets else [],
        )

    async def ListRetentionAssets(self, request: pb.HistoryRequest, call: Call) -> pb.RetentionAssetPage:
        """Artifacts that somebody watched."""
        asked = wanted(request, self._clock)
        found = await self._history.page(call.tenant, Listed.RETENTION_ASSETS, asked, request.page)
        assets = paged_rows(pb.RetentionAsset, found)
        return pb.RetentionAssetPage(assets=assets, page=page_of(found))

    async def GetTopAssets(self, request: pb.GetTopAssetsRequest, call: Call) -> pb.TopAssets:
        """Artifacts by sessions."""
        asked, top = wanted(request, self._clock), min(request.top or TOP, MOST_TOP)
        found = await self._history.many(call.tenant, Figure.TOP_ASSETS, asked, top=top)
        return pb.TopAssets(assets=[_asset(one) for one in found])


def _boots(found: Row) -> pb.Boots:
    p50, p95, p99 = found["percentiles"] if found["played"] else (0.0, 0.0, 0.0)
    boots = row(pb.Boots, found)
    boots.p50_first_frame_ms, boots.p95_first_frame_ms, boots.p99_first_frame_ms = p50, p95, p99
    for name in SPANS:
        getattr(boots, name).CopyFrom(pb.Span(ms=found[f"{name}_sum"], boots=found[f"{name}_boots"]))
    return boots


def _asset(found: Row) -> pb.TopAsset:
    asset = row(pb.TopAsset, found)
    asset.played_ms, asset.duration_s = found["played"], found["length_s"]
    return asset
