"""Calls about what the platform itself was used for: storage, and its API."""

import asyncio

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import page_of, paged_rows, rows, wanted
from frameworks.data.periscope.service.history import Figure, History, Listed
from frameworks.kit.clock import Clock
from frameworks.kit.rpc import Call


class ConsumptionApi:
    """PeriscopeService: storage and API use."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def ListStorageUsage(self, request: pb.HistoryRequest, call: Call) -> pb.StorageUsagePage:
        """By hour, node and scope."""
        asked = wanted(request, self._clock)
        found = await self._history.page(call.tenant, Listed.STORAGE_USAGE, asked, request.page)
        return pb.StorageUsagePage(hours=paged_rows(pb.StorageUsage, found), page=page_of(found))

    async def ListApiUsage(self, request: pb.HistoryRequest, call: Call) -> pb.ApiUsagePage:
        """By hour, sort of caller and operation."""
        asked = wanted(request, self._clock)
        found = await self._history.page(call.tenant, Listed.API_USAGE, asked, request.page)
        return pb.ApiUsagePage(hours=paged_rows(pb.ApiUsage, found), page=page_of(found))

    async def GetApiUsageSummary(self, request: pb.HistoryRequest, call: Call) -> pb.ApiUsageSummary:
        """By day and sort of caller, and by sort of operation."""
        asked = wanted(request, self._clock)
        days, kinds = await asyncio.gather(
            self._history.many(call.tenant, Figure.API_DAYS, asked),
            self._history.many(call.tenant, Figure.API_KINDS, asked),
        )
        return pb.ApiUsageSummary(days=rows(pb.ApiUsageDay, days), kinds=rows(pb.ApiUsageKind, kinds))
