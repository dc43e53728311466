"""What this API was asked, by hour, and what that adds up to."""

import asyncio
from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.contracts.viewing import share
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import history, listed
from frameworks.control.bridge.api.scalars import at, int32
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

usage = ObjectType("AnalyticsUsageApi")

BINDABLES = [usage]

USER, TOKEN = "user", "api_token"
MILLI = 1000


@usage.field("apiUsageConnection")
async def resolve_usage(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here, request = context.of(info), history(arguments)
    hours, summary = await asyncio.gather(
        here.peers.periscope.ListApiUsage(request, metadata=here.metadata),
        here.peers.periscope.GetApiUsageSummary(request, metadata=here.metadata),
    )
    return listed(hours.hours, hours.page, hour_row) | {
        "summaries": [day_row(day) for day in summary.days],
        "operationSummaries": [kind_row(kind) for kind in summary.kinds],
    }


def callers(auth: str, count: int) -> Row:
    """Different callers, as users or as tokens."""
    return {
        "uniqueUsers": int32(count) if auth == USER else 0,
        "uniqueTokens": int32(count) if auth == TOKEN else 0,
    }


def hour_row(hour: pb.ApiUsage) -> Row:
    """One operation in one hour."""
    key = (str(hour.hour_at), hour.auth_kind, hour.operation_kind, hour.operation)
    return {
        "id": global_id("APIUsageRecord", *key),
        "timestamp": at(hour.hour_at),
        "authType": hour.auth_kind,
        "operationType": hour.operation_kind,
        "operationName": hour.operation,
        "requestCount": int32(hour.requests),
        "errorCount": int32(hour.errors),
        "totalDurationMs": hour.duration_us / MILLI,
        "totalComplexity": int32(hour.complexity),
        **callers(hour.auth_kind, hour.callers),
    }


def day_row(day: pb.ApiUsageDay) -> Row:
    """One day of one sort of caller."""
    return {
        "date": at(day.day_at),
        "authType": day.auth_kind,
        "totalRequests": int32(day.requests),
        "totalErrors": int32(day.errors),
        "avgDurationMs": share(day.duration_us / MILLI, day.requests),
        "totalComplexity": int32(day.complexity),
        **callers(day.auth_kind, day.callers),
    }


def kind_row(kind: pb.ApiUsageKind) -> Row:
    """One sort of operation."""
    return {
        "operationType": kind.operation_kind,
        "totalRequests": int32(kind.requests),
        "totalErrors": int32(kind.errors),
        "uniqueOperations": int32(kind.operations),
        "avgDurationMs": share(kind.duration_us / MILLI, kind.requests),
        "totalComplexity": int32(kind.complexity),
    }
