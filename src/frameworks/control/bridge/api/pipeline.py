"""How events flow through the platform, for operators: once, or every two seconds."""

from collections.abc import AsyncGenerator
from typing import Any

from ariadne import QueryType, SubscriptionType
from graphql import GraphQLResolveInfo

from frameworks.contracts.flow import REPORT_EVERY, Trouble
from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.scalars import at, instant, int32, text
from frameworks.kit.clock import micros
from frameworks.kit.errors import Unavailable

Row = dict[str, Any]

query = QueryType()
subscription = SubscriptionType()

BINDABLES = [query, subscription]

SILENT_AFTER = 15_000_000
"""Microseconds without a report after which a process counts as silent."""
RATES = {
    "recorded": "recorded",
    "delivered": "delivered",
    "accepted": "accepted",
    "refused": "refused",
    "stored": "stored",
    "buried": "buried",
    "rolledUp": "rolled_up",
    "pushed": "pushed",
    "written": "written",
    "admissions": "admissions",
    "calls": "calls",
}
LEVELS = {"sockets": "sockets", "sessions": "sessions"}


@query.field("pipelineStatus")
async def resolve_pipeline(_: Any, info: GraphQLResolveInfo) -> Row:
    return pipeline_row(await _asked(info))


@subscription.source("pipelineStatus")
async def pipeline_statuses(_: Any, info: GraphQLResolveInfo) -> AsyncGenerator[Row, None]:
    here = context.of(info)
    while True:
        try:
            yield pipeline_row(await _asked(info))
        except Unavailable as away:
            yield unknown_row(micros(here.clock.now()), away)
        await here.clock.sleep(REPORT_EVERY)


@subscription.field("pipelineStatus")
def same(source: Row, _: GraphQLResolveInfo) -> Row:
    """What the source yielded is the result."""
    return source


async def _asked(info: GraphQLResolveInfo) -> pb.PipelineStatus:
    here = context.of(info)
    request = pb.GetPipelineStatusRequest()
    return await here.peers.periscope.GetPipelineStatus(request, metadata=here.metadata)


def unknown_row(now: int, away: Unavailable) -> Row:
    """What there is to say while Periscope does not answer."""
    trouble = Trouble("ingest", "flow.silent", f"Periscope does not answer: {away.message}")
    problem = pb.Problem(
        place=trouble.place, broken=True, code=away.code, message=trouble.message, remedy=trouble.remedy
    )
    return pipeline_row(pb.PipelineStatus(problems=[problem], observed_at=now)) | {"isKnown": False}


def pipeline_row(found: pb.PipelineStatus) -> Row:
    """The status as the schema has it."""
    return {
        "topics": [_topic(t) for t in found.topics],
        "rates": [{"type": r.type, "perMinute": r.per_minute} for r in found.types],
        "dirtyBuckets": int32(found.dirty_buckets),
        "oldestDirtyAt": instant(found.oldest_dirty_at),
        "newestEventAt": instant(found.newest_event_at),
        "unclaimedEvents": int32(found.unclaimed_events),
        "deadLetters": int32(found.dead_letters),
        "liveStreams": int32(found.live_streams),
        "openSessions": int32(found.open_sessions),
        "observedAt": at(found.observed_at),
        "isKnown": True,
        "problems": [_problem(p) for p in found.problems],
        "flow": _flow(found),
        "engines": [{"name": e.name, "isUp": e.up, "lastError": text(e.reason)} for e in found.engines],
        "edges": [
            {"node": n.node, "waitingBytes": n.bytes, "limitBytes": n.limit or None}
            for p in _fresh(found)
            for n in p.nodes
        ],
        "processes": [_process(p, found.observed_at) for p in found.processes],
    }


def _topic(topic: pb.TopicStatus) -> Row:
    return {
        "topic": topic.topic,
        "group": topic.group,
        "lag": topic.lag,
        "isRunning": topic.running,
        "lastError": text(topic.last_error),
        "reason": text(topic.reason),
        "worstLag": topic.worst_lag,
        "worstPartition": topic.worst_partition,
        "perSecond": topic.per_second,
    }


def _problem(problem: pb.Problem) -> Row:
    return {
        "place": problem.place,
        "isBroken": problem.broken,
        "code": problem.code,
        "message": problem.message,
        "remedy": text(problem.remedy),
    }


def _is_silent(report: pb.ProcessReport, now: int) -> bool:
    return now - report.reported_at > SILENT_AFTER


def _fresh(found: pb.PipelineStatus) -> list[pb.ProcessReport]:
    """The processes whose figures are of now."""
    return [report for report in found.processes if not _is_silent(report, found.observed_at)]


def _flow(found: pb.PipelineStatus) -> Row:
    """The figures of all processes added up; None for one that nobody told."""
    told = _fresh(found)
    row: Row = {}
    for name, figure in RATES.items():
        rates = [report.rates[figure] for report in told if figure in report.rates]
        row[name] = sum(rates) if rates else None
    for name, figure in LEVELS.items():
        levels = [report.levels[figure] for report in told if figure in report.levels]
        row[name] = int32(sum(levels)) if levels else None
    return row


def _process(report: pb.ProcessReport, now: int) -> Row:
    return {
        "id": report.id,
        "name": report.process,
        "modules": list(report.modules),
        "status": "silent" if _is_silent(report, now) else report.status,
        "reportedAt": at(report.reported_at),
    }
