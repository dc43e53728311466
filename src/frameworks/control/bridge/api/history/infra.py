"""Routing decisions and node measurements."""

from typing import Any

from ariadne import ObjectType
from graphql import GraphQLResolveInfo

from frameworks.contracts.pb import periscope_v1_pb2 as pb
from frameworks.control.bridge.api import context
from frameworks.control.bridge.api.history.asking import bucket, history, listed, ratio, with_stream
from frameworks.control.bridge.api.scalars import at, int32, text
from frameworks.control.bridge.domain import global_id

Row = dict[str, Any]

infra = ObjectType("AnalyticsInfra")

BINDABLES = [infra, *with_stream("RoutingEvent")]


@infra.field("routingEventsConnection")
async def resolve_routing(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListRoutingEvents(history(arguments), metadata=here.metadata)
    return listed(found.events, found.page, routing_row)


def routing_row(event: pb.RoutingEvent) -> Row:
    """One decision of the router."""
    client, known = event.client, bool(event.client.h3_cell)
    return {
        "timestamp": at(event.occurred_at),
        "streamId": event.stream_id,
        "selectedNode": event.selected_node,
        "nodeId": text(event.selected_node),
        "status": event.status,
        "details": text(event.reason),
        "score": int32(event.score),
        "clientCountry": text(client.country),
        "clientLatitude": client.latitude if known else None,
        "clientLongitude": client.longitude if known else None,
        "clientBucket": bucket(client.h3_cell),
        "nodeLatitude": event.node_latitude or None,
        "nodeLongitude": event.node_longitude or None,
        "nodeName": text(event.selected_node),
        "routingDistance": event.distance_km,
        "candidatesCount": int32(event.candidate_count),
        "latencyMs": event.decided_in_us / 1000,
        "eventType": text(event.purpose),
        "source": text(event.source),
        "streamTenantId": text(event.stream_tenant_id),
        "clusterId": text(event.cluster_id),
        "selectedClusterId": text(event.cluster_id),
    }


@infra.field("routingEfficiency")
async def resolve_efficiency(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.GetRoutingEfficiency(history(arguments), metadata=here.metadata)
    return {
        "totalDecisions": int32(found.total),
        "successCount": int32(found.succeeded),
        "successRate": ratio(found.succeeded, found.total),
        "avgRoutingDistance": found.avg_distance_km,
        "avgLatencyMs": found.avg_decided_in_us / 1000,
        "topCountries": [
            {"countryCode": c.country, "requestCount": int32(c.requests)} for c in found.countries
        ],
    }


@infra.field("nodeMetricsConnection")
async def resolve_metrics(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListNodeMetrics(history(arguments), metadata=here.metadata)
    return listed(found.samples, found.page, sample_row)


def sample_row(sample: pb.NodeMetric) -> Row:
    """One measurement of a node."""
    return {
        "id": global_id("NodeMetric", sample.event_id),
        "timestamp": at(sample.occurred_at),
        "nodeId": sample.node_id,
        "clusterId": text(sample.cluster_id),
        "cpuUsage": sample.cpu_permille / 10,
        "memoryTotal": sample.memory_total_bytes,
        "memoryUsed": sample.memory_used_bytes,
        "diskTotal": sample.disk_total_bytes,
        "diskUsed": sample.disk_used_bytes,
        "shmTotal": sample.shm_total_bytes,
        "shmUsed": sample.shm_used_bytes,
        "networkRx": sample.bandwidth_in_bps,
        "networkTx": sample.bandwidth_out_bps,
        "upSpeed": sample.bandwidth_out_bps,
        "downSpeed": sample.bandwidth_in_bps,
        "connectionsCurrent": int32(sample.active_viewers),
        "streamCount": int32(sample.active_streams),
        "status": sample.state,
        "isHealthy": sample.state == "up",
        "latitude": sample.latitude or None,
        "longitude": sample.longitude or None,
        "metadata": {"version": sample.version, "bootId": sample.boot_id, "detail": sample.detail},
    }


@infra.field("nodeMetrics1hConnection")
async def resolve_hours(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListNodeMetrics1h(history(arguments), metadata=here.metadata)
    return listed(found.hours, found.page, hour_row)


def hour_row(hour: pb.NodeMetric1h) -> Row:
    """One hour of a node; shares in percent."""
    return {
        "id": global_id("NodeMetricHourly", hour.node_id, str(hour.hour_at)),
        "timestamp": at(hour.hour_at),
        "nodeId": hour.node_id,
        "clusterId": text(hour.cluster_id),
        "avgCpu": hour.avg_cpu_permille / 10,
        "peakCpu": hour.peak_cpu_permille / 10,
        "avgMemory": hour.avg_memory_permille / 10,
        "peakMemory": hour.peak_memory_permille / 10,
        "avgDisk": hour.avg_disk_permille / 10,
        "peakDisk": hour.peak_disk_permille / 10,
        "avgShm": hour.avg_shm_permille / 10,
        "peakShm": hour.peak_shm_permille / 10,
        "totalBandwidthIn": hour.bytes_in,
        "totalBandwidthOut": hour.bytes_out,
        "wasHealthy": hour.was_healthy,
    }


@infra.field("nodeMetricsAggregated")
async def resolve_aggregated(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> list[Row]:
    here = context.of(info)
    found = await here.peers.periscope.GetNodeMetricsAggregated(history(arguments), metadata=here.metadata)
    return [aggregate_row(node) for node in found.nodes]


def aggregate_row(node: pb.NodeAggregate) -> Row:
    """A node over a range of time; shares in percent."""
    return {
        "nodeId": node.node_id,
        "clusterId": text(node.cluster_id),
        "avgCpu": node.avg_cpu_permille / 10,
        "avgMemory": node.avg_memory_permille / 10,
        "avgDisk": node.avg_disk_permille / 10,
        "avgShm": node.avg_shm_permille / 10,
        "totalBandwidthIn": node.bytes_in,
        "totalBandwidthOut": node.bytes_out,
        "sampleCount": int32(node.samples),
    }


@infra.field("nodePerformance5mConnection")
async def resolve_performance(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    here = context.of(info)
    found = await here.peers.periscope.ListNodePerformance5m(history(arguments), metadata=here.metadata)
    return listed(found.buckets, found.page, performance_row)


def performance_row(bucket: pb.NodePerformance5m) -> Row:
    """Five minutes of a node; shares in percent."""
    return {
        "id": global_id("NodePerformance5m", bucket.node_id, str(bucket.bucket_at)),
        "timestamp": at(bucket.bucket_at),
        "nodeId": bucket.node_id,
        "avgCpu": bucket.avg_cpu_permille / 10,
        "maxCpu": bucket.max_cpu_permille / 10,
        "avgMemory": bucket.avg_memory_permille / 10,
        "maxMemory": bucket.max_memory_permille / 10,
        "totalBandwidth": bucket.total_bandwidth_bps,
        "avgStreams": int32(bucket.avg_streams),
        "maxStreams": int32(bucket.max_streams),
    }
