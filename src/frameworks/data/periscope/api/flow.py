"""Calls about the flow of events: processes report, operators look."""

import msgspec
from google.protobuf.json_format import MessageToDict, ParseDict

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.data.periscope.api.messages import rows
from frameworks.data.periscope.domain import BadSubject
from frameworks.data.periscope.service.pipeline import Pipeline, Status
from frameworks.data.periscope.service.processes import Processes, Report
from frameworks.kit.rpc import Call

MOST_BYTES = 64 * 1024
"""A report is no larger than this."""


class FlowApi:
    """PeriscopeService: the pipeline itself."""

    def __init__(self, pipeline: Pipeline, processes: Processes) -> None:
        self._pipeline = pipeline
        self._processes = processes

    async def ReportProcess(self, request: pb.ProcessReport, call: Call) -> pb.ProcessReported:
        """A process says what it does."""
        if not request.id or request.ByteSize() > MOST_BYTES:
            raise BadSubject(f"A report names its process and has at most {MOST_BYTES} bytes.")
        await self._processes.report(report_of(request))
        return pb.ProcessReported()

    async def GetPipelineStatus(self, request: pb.GetPipelineStatusRequest, call: Call) -> pb.PipelineStatus:
        """The pipeline now."""
        return message(await self._pipeline.status())


def report_of(request: pb.ProcessReport) -> Report:
    """The report a message holds."""
    return msgspec.convert(MessageToDict(request, preserving_proto_field_name=True), Report, strict=False)


def message(status: Status) -> pb.PipelineStatus:
    """The status as it is sent."""
    counts = status.counts
    return pb.PipelineStatus(
        topics=[ParseDict(msgspec.to_builtins(topic), pb.TopicStatus()) for topic in status.topics],
        types=rows(pb.TypeRate, counts.rates),
        dirty_buckets=counts.dirty,
        oldest_dirty_at=counts.oldest_dirty_at,
        newest_event_at=max((one["newest"] for one in counts.rates), default=0),
        unclaimed_events=counts.unclaimed,
        dead_letters=counts.dead_letters,
        live_streams=counts.live_streams,
        open_sessions=counts.open_sessions,
        processes=[ParseDict(msgspec.to_builtins(report), pb.ProcessReport()) for report in status.processes],
        engines=[
            pb.EngineStatus(name=engine.name, up=engine.up, code=engine.code, reason=engine.reason)
            for engine in status.engines
        ],
        problems=[
            pb.Problem(
                place=trouble.place,
                broken=trouble.broken,
                code=trouble.code,
                message=trouble.message,
                remedy=trouble.remedy,
            )
            for trouble in status.troubles
        ],
        observed_at=status.at,
    )
