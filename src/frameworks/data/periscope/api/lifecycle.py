"""Calls about what happened to streams and their viewers."""

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import page_of, paged_rows, wanted
from frameworks.data.periscope.domain import DAY
from frameworks.data.periscope.service.history import History, Listed, Row
from frameworks.kit.clock import Clock
from frameworks.kit.paging import Paged
from frameworks.kit.rpc import Call

KEPT = 90 * DAY
"""How long facts of artifacts are kept."""


class LifecycleApi:
    """PeriscopeService: lifecycle."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def ListStreamEvents(self, request: pb.HistoryRequest, call: Call) -> pb.StreamEventPage:
        """Admissions, states, buffers and tracks."""
        found = await self._page(Listed.STREAM_EVENTS, request, call)
        events = paged_rows(pb.StreamEvent, found, place="position")
        return pb.StreamEventPage(events=events, page=page_of(found))

    async def ListBufferEvents(self, request: pb.HistoryRequest, call: Call) -> pb.BufferEventPage:
        """Buffers filling and running dry."""
        found = await self._page(Listed.BUFFER_EVENTS, request, call)
        return pb.BufferEventPage(events=paged_rows(pb.BufferEvent, found), page=page_of(found))

    async def ListConnectionEvents(self, request: pb.HistoryRequest, call: Call) -> pb.ConnectionEventPage:
        """Viewers coming and going."""
        found = await self._page(Listed.CONNECTION_EVENTS, request, call)
        events = paged_rows(pb.ConnectionEvent, found, place="position")
        return pb.ConnectionEventPage(events=events, page=page_of(found))

    async def ListViewerSessions(self, request: pb.HistoryRequest, call: Call) -> pb.ViewerSessionPage:
        """One row a session."""
        found = await self._page(Listed.VIEWER_SESSIONS, request, call)
        sessions = paged_rows(pb.ViewerSession, found, place="position")
        return pb.ViewerSessionPage(sessions=sessions, page=page_of(found))

    async def ListTrackLists(self, request: pb.HistoryRequest, call: Call) -> pb.TrackListPage:
        """The tracks a stream had."""
        found = await self._page(Listed.TRACK_LISTS, request, call)
        return pb.TrackListPage(lists=paged_rows(pb.TrackList, found), page=page_of(found))

    async def ListArtifactEvents(self, request: pb.HistoryRequest, call: Call) -> pb.ArtifactEventPage:
        """Recordings, clips and files on their way."""
        found = await self._page(Listed.ARTIFACT_EVENTS, request, call)
        return pb.ArtifactEventPage(events=paged_rows(pb.ArtifactEvent, found), page=page_of(found))

    async def ListArtifactStates(self, request: pb.HistoryRequest, call: Call) -> pb.ArtifactStatePage:
        """One row an artifact."""
        asked = wanted(request, self._clock, usual=KEPT)
        found = await self._history.page(call.tenant, Listed.ARTIFACT_STATES, asked, request.page)
        return pb.ArtifactStatePage(artifacts=paged_rows(pb.ArtifactState, found), page=page_of(found))

    async def ListStorageEvents(self, request: pb.HistoryRequest, call: Call) -> pb.StorageEventPage:
        """What was stored and deleted."""
        found = await self._page(Listed.STORAGE_EVENTS, request, call)
        return pb.StorageEventPage(events=paged_rows(pb.StorageEvent, found), page=page_of(found))

    async def _page(self, listed: Listed, request: pb.HistoryRequest, call: Call) -> Paged[Row]:
        return await self._history.page(call.tenant, listed, wanted(request, self._clock), request.page)
