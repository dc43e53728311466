"""Calls about the present, and what services ask."""

from uuid import UUID

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import range_of, row, rows, wanted
from frameworks.data.periscope.domain import BUCKET, DAY, Asked, BadSubject, stream_id
from frameworks.data.periscope.service.history import Figure, History
from frameworks.data.periscope.service.now import Present
from frameworks.kit.clock import Clock
from frameworks.kit.rpc import Call

MOST_DAYS = 90


class NowApi:
    """PeriscopeService: the present."""

    def __init__(self, present: Present, history: History, clock: Clock) -> None:
        self._present = present
        self._history = history
        self._clock = clock

    async def GetStreamStatuses(self, request: pb.GetStreamStatusesRequest, call: Call) -> pb.StreamStatuses:
        """Current state of many streams."""
        found = await self._present.statuses(call.tenant, [stream_id(text) for text in request.stream_ids])
        return pb.StreamStatuses(statuses=rows(pb.StreamStatus, found))

    async def GetCurrentViewers(self, request: pb.GetCurrentViewersRequest, call: Call) -> pb.CurrentViewers:
        """Open sessions by stream."""
        found = await self._present.viewers(call.tenant)
        return pb.CurrentViewers(
            streams=rows(pb.StreamViewers, found), total=sum(one["viewers"] for one in found)
        )

    async def GetStreamSeries(self, request: pb.GetStreamSeriesRequest, call: Call) -> pb.StreamSeries:
        """Samples of one stream in columns."""
        step, found = await self._history.series(call.tenant, wanted(request, self._clock), request.points)
        columns = {name: [one[name] for one in found] for name in (found[0] if found else ())}
        return pb.StreamSeries(step_us=step, **columns)

    async def GetOverview(self, request: pb.HistoryRequest, call: Call) -> pb.Overview:
        """The tenant's range in figures."""
        asked = wanted(request, self._clock)
        overview = row(pb.Overview, await self._present.overview(call.tenant, asked))
        overview.range.CopyFrom(range_of(asked))
        return overview

    async def GetDailyStats(self, request: pb.GetDailyStatsRequest, call: Call) -> pb.DailyStats:
        """A row a day."""
        days = min(request.days or 7, MOST_DAYS)
        asked = wanted(request, self._clock, usual=days * DAY)
        first = max(asked.from_at, asked.until_at - days * DAY)
        found = await self._history.days(call.tenant, Asked(first // DAY * DAY, asked.until_at))
        return pb.DailyStats(days=rows(pb.DailyStat, found[-days:]))

    async def GetUsage(self, request: pb.GetUsageRequest, call: Call) -> pb.Usage:
        """Metered use of the tenant the calling service names, in whole buckets."""
        asked = wanted(request, self._clock)
        whole = Asked(asked.from_at // BUCKET * BUCKET, -(-asked.until_at // BUCKET) * BUCKET)
        tenant = _tenant(request.tenant_id)
        found = await self._history.many(tenant, Figure.USAGE, whole)
        return pb.Usage(tenant_id=str(tenant), range=range_of(whole), buckets=rows(pb.UsageBucket, found))


def _tenant(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BadSubject("Name the tenant by its id.") from error
