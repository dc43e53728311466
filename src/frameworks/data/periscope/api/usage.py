"""Calls about how much was streamed and watched."""

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import (
    page_of,
    paged_rows,
    quality,
    range_of,
    row,
    rows,
    share,
    wanted,
)
from frameworks.data.periscope.domain import SECOND, Asked
from frameworks.data.periscope.service.history import History, Listed, Row
from frameworks.kit.clock import Clock
from frameworks.kit.paging import Paged
from frameworks.kit.rpc import Call


class UsageApi:
    """PeriscopeService: usage."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def GetStreamSummary(self, request: pb.HistoryRequest, call: Call) -> pb.StreamSummary:
        """Everything a stream's range adds up to."""
        asked = wanted(request, self._clock)
        return _summary(await self._history.summary(call.tenant, asked), asked)

    async def ListStreamSummaries(
        self, request: pb.ListStreamSummariesRequest, call: Call
    ) -> pb.StreamSummaryPage:
        """The tenant's streams by what they add up to."""
        asked = wanted(request, self._clock)
        found = await self._history.summaries(
            call.tenant, asked, request.page, by=request.sort_by, ascending=request.ascending
        )
        summaries = paged_rows(pb.StreamSummary, found)
        for summary in summaries:
            summary.range.CopyFrom(range_of(asked))
            summary.avg_viewers = _average(summary.session_seconds, asked)
        return pb.StreamSummaryPage(summaries=summaries, page=page_of(found))

    async def ListStreamDays(self, request: pb.HistoryRequest, call: Call) -> pb.StreamDayPage:
        """By stream and day (UTC)."""
        found = await self._page(Listed.STREAM_DAYS, request, call)
        return pb.StreamDayPage(days=paged_rows(pb.StreamDay, found), page=page_of(found))

    async def ListTenantDays(self, request: pb.HistoryRequest, call: Call) -> pb.TenantDayPage:
        """By day (UTC)."""
        found = await self._page(Listed.TENANT_DAYS, request, call)
        return pb.TenantDayPage(days=paged_rows(pb.TenantDay, found), page=page_of(found))

    async def ListViewerHours(self, request: pb.HistoryRequest, call: Call) -> pb.ViewerHourPage:
        """By stream, hour and country."""
        found = await self._page(Listed.VIEWER_HOURS, request, call)
        return pb.ViewerHourPage(hours=paged_rows(pb.ViewerHour, found), page=page_of(found))

    async def ListConnectionHours(self, request: pb.HistoryRequest, call: Call) -> pb.ConnectionHourPage:
        """By stream and hour."""
        found = await self._page(Listed.CONNECTION_HOURS, request, call)
        return pb.ConnectionHourPage(hours=paged_rows(pb.ConnectionHour, found), page=page_of(found))

    async def ListQualityDays(self, request: pb.HistoryRequest, call: Call) -> pb.QualityDayPage:
        """By stream and day, minutes by tier and codec."""
        found = await self._page(Listed.QUALITY_DAYS, request, call)
        days = paged_rows(pb.QualityDay, found)
        for day, values in zip(days, found.rows, strict=True):
            day.quality.CopyFrom(quality(values["tiers_us"], values["codecs_us"]))
        return pb.QualityDayPage(days=days, page=page_of(found))

    async def ListViewerCounts(self, request: pb.ListViewerCountsRequest, call: Call) -> pb.ViewerCountPage:
        """The most viewers at once, by interval."""
        asked = wanted(request, self._clock)
        found = await self._history.viewer_counts(call.tenant, asked, request.page, request.interval)
        return pb.ViewerCountPage(counts=paged_rows(pb.ViewerCount, found), page=page_of(found))

    async def ListViewerGeographics(self, request: pb.HistoryRequest, call: Call) -> pb.ViewerGeographicPage:
        """Where each viewer came from."""
        found = await self._page(Listed.VIEWER_GEOGRAPHICS, request, call)
        viewers = paged_rows(pb.ViewerGeographic, found, place="position")
        return pb.ViewerGeographicPage(viewers=viewers, page=page_of(found))

    async def ListGeoHours(self, request: pb.HistoryRequest, call: Call) -> pb.GeoHourPage:
        """By hour and country."""
        found = await self._page(Listed.GEO_HOURS, request, call)
        return pb.GeoHourPage(hours=paged_rows(pb.GeoHour, found), page=page_of(found))

    async def GetGeographicDistribution(
        self, request: pb.GetGeographicDistributionRequest, call: Call
    ) -> pb.GeographicDistribution:
        """Where viewers are."""
        asked = wanted(request, self._clock)
        found = await self._history.geography(call.tenant, asked, request.top)
        return pb.GeographicDistribution(
            range=range_of(asked),
            countries=rows(pb.PlaceCount, found["countries"], place="position"),
            cities=rows(pb.PlaceCount, found["cities"], place="position"),
            unique_countries=found["unique_countries"],
            unique_cities=found["unique_cities"],
            total_viewers=found["total_viewers"],
            by_hour=rows(pb.CountryCount, found["by_hour"]),
        )

    async def _page(self, listed: Listed, request: pb.HistoryRequest, call: Call) -> Paged[Row]:
        return await self._history.page(call.tenant, listed, wanted(request, self._clock), request.page)


def _average(seconds: int, asked: Asked) -> float:
    return seconds * SECOND / (asked.until_at - asked.from_at)


def _summary(found: Row, asked: Asked) -> pb.StreamSummary:
    seconds = found["viewer_us"] // SECOND
    summary = row(pb.StreamSummary, found)
    summary.MergeFrom(
        pb.StreamSummary(
            stream_id=str(asked.stream),
            range=range_of(asked),
            avg_viewers=_average(seconds, asked),
            avg_buffer_ms=share(found["buffer_ms_sum"], found["samples"]),
            avg_bitrate_kbps=share(found["bitrate_kbps_sum"], found["samples"]),
            avg_fps=share(found["fps_milli_sum"], found["samples"]) / 1000,
            session_seconds=seconds,
            quality=quality(found["tiers_us"], found["codecs_us"]),
            tenant_sessions=found["tenant_total_sessions"],
            tenant_session_seconds=found["tenant_viewer_us"] // SECOND,
            ingest_seconds=found["ingest_us"] // SECOND,
        )
    )
    return summary
