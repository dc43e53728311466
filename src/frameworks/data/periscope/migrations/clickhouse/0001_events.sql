-- Where events arrive, and the facts made of them. A fact is found once per event_id however often its event arrives:
-- the sorting key ends in (occurred_at, event_id), and readers use the `_v` views.

-- The shape of events.proto, field by field; nothing is stored here.
CREATE TABLE IF NOT EXISTS periscope.arrivals
(
    event_id String,
    type String,
    occurred_at UInt64,
    schema_version UInt32,
    tenant_id String,
    stream_id String,
    node_id String,
    cluster_id String,
    region String,
    source String,
    trace_id String,
    claim_epoch UInt64,
    stream_ingest Tuple(
        protocol String, ingest_url String, key_id String, key_fingerprint String, encoder String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64)),
    stream_view Tuple(
        playback_id String, protocol String, user_agent String, referrer String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64)),
    stream_lifecycle Tuple(
        state String, reason String, detail String, duration_ms UInt64, viewers UInt64, up_bytes UInt64,
        down_bytes UInt64),
    user_connection Tuple(
        action String, session_id String, connector String, seconds UInt64, up_bytes UInt64, down_bytes UInt64,
        user_agent String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        viewer_hash String),
    stream_metrics Tuple(
        bandwidth_in_bps UInt64, bandwidth_out_bps UInt64, viewers UInt32, bitrate_kbps UInt32, fps_milli UInt32,
        width UInt32, height UInt32, codec String, keyframe_ms UInt32, buffer_ms UInt32, jitter_ms UInt32,
        b_frames Bool, health_score UInt32, issues Array(String), audio_codec String, audio_kbps UInt32,
        audio_channels UInt32, audio_rate UInt32, packets_sent UInt64, packets_lost UInt64,
        packets_retransmitted UInt64, quality_tier String, keyframe_min_ms UInt32),
    node_lifecycle Tuple(
        state String, cpu_permille UInt32, memory_used_bytes UInt64, memory_total_bytes UInt64,
        disk_used_bytes UInt64, disk_total_bytes UInt64, shm_used_bytes UInt64, shm_total_bytes UInt64,
        bandwidth_in_bps UInt64, bandwidth_out_bps UInt64, bandwidth_limit_bps UInt64, active_streams UInt32,
        active_viewers UInt32, latitude Float64, longitude Float64, version String, boot_id String, detail String,
        up_bytes UInt64, down_bytes UInt64),
    load_balancing Tuple(
        status String, purpose String, selected_node String, score Int64, reason String,
        candidates Nested(node_id String, score Int64, reason String),
        client Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        distance_km Float64, decided_in_us UInt64, stream_tenant_id String, protocol String,
        node_latitude Float64, node_longitude Float64, candidate_count UInt32),
    track_list Tuple(
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32,
            b_frames Bool)),
    stream_buffer Tuple(
        state String, buffer_ms UInt32, health_score UInt32, issues Array(String),
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32,
            b_frames Bool))
)
ENGINE = Null;

-- The same with ids and times of their own types; an absent id is the zero UUID.
CREATE TABLE IF NOT EXISTS periscope.events ENGINE = Null EMPTY AS
SELECT * REPLACE (
    toUUID(UUIDNumToString(toFixedString(event_id, 16))) AS event_id,
    toLowCardinality(type) AS type,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(toFixedString(tenant_id, 16))) AS tenant_id,
    toUUID(UUIDNumToString(toFixedString(stream_id, 16))) AS stream_id)
FROM periscope.arrivals;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.arrivals_to_events TO periscope.events AS
SELECT * REPLACE (
    toUUID(UUIDNumToString(toFixedString(event_id, 16))) AS event_id,
    toLowCardinality(type) AS type,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(toFixedString(tenant_id, 16))) AS tenant_id,
    toUUID(UUIDNumToString(toFixedString(stream_id, 16))) AS stream_id)
FROM periscope.arrivals;

-- Lifecycle of streams: admissions, states, buffers, tracks.
CREATE TABLE IF NOT EXISTS periscope.stream_events
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    type LowCardinality(String),
    status LowCardinality(String),
    reason LowCardinality(String),
    detail String,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    schema_version UInt32,
    trace_id String,
    claim_epoch UInt64,
    protocol LowCardinality(String),
    encoder LowCardinality(String),
    ingest_url String,
    key_id UUID,
    key_fingerprint String,
    buffer_state LowCardinality(String),
    buffer_ms UInt32,
    health_score UInt32,
    issues Array(LowCardinality(String)),
    tracks Array(Tuple(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
        fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool)),
    duration_ms UInt64,
    viewers UInt64,
    up_bytes UInt64,
    down_bytes UInt64,
    country LowCardinality(String),
    city LowCardinality(String),
    h3_cell UInt64,
    latitude Float64,
    longitude Float64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_stream_events TO periscope.stream_events AS
SELECT tenant_id, stream_id, occurred_at, event_id, type,
    multiIf(type = 'stream-lifecycle', stream_lifecycle.state, type = 'stream-buffer', stream_buffer.state,
        type = 'stream-ingest', 'admitted', 'tracks') AS status,
    stream_lifecycle.reason AS reason, stream_lifecycle.detail AS detail, node_id, cluster_id, region, source,
    schema_version, trace_id, claim_epoch, stream_ingest.protocol AS protocol, stream_ingest.encoder AS encoder,
    stream_ingest.ingest_url AS ingest_url,
    toUUID(UUIDNumToString(toFixedString(stream_ingest.key_id, 16))) AS key_id,
    stream_ingest.key_fingerprint AS key_fingerprint, stream_buffer.state AS buffer_state,
    stream_buffer.buffer_ms AS buffer_ms, stream_buffer.health_score AS health_score,
    stream_buffer.issues AS issues,
    if(type = 'track-list', track_list.tracks, stream_buffer.tracks) AS tracks,
    stream_lifecycle.duration_ms AS duration_ms, stream_lifecycle.viewers AS viewers,
    stream_lifecycle.up_bytes AS up_bytes, stream_lifecycle.down_bytes AS down_bytes,
    stream_ingest.place.country AS country, stream_ingest.place.city AS city,
    stream_ingest.place.h3_cell AS h3_cell, stream_ingest.place.latitude AS latitude,
    stream_ingest.place.longitude AS longitude
FROM periscope.events
WHERE type IN ('stream-ingest', 'stream-lifecycle', 'stream-buffer', 'track-list');

-- Viewers that asked for a stream.
CREATE TABLE IF NOT EXISTS periscope.stream_views
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    playback_id String,
    protocol LowCardinality(String),
    user_agent String,
    referrer String,
    country LowCardinality(String),
    city LowCardinality(String),
    h3_cell UInt64,
    latitude Float64,
    longitude Float64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_stream_views TO periscope.stream_views AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, stream_view.playback_id AS playback_id,
    stream_view.protocol AS protocol, stream_view.user_agent AS user_agent, stream_view.referrer AS referrer,
    stream_view.place.country AS country, stream_view.place.city AS city, stream_view.place.h3_cell AS h3_cell,
    stream_view.place.latitude AS latitude, stream_view.place.longitude AS longitude
FROM periscope.events
WHERE type = 'stream-view';

-- Viewer sessions that opened and closed.
CREATE TABLE IF NOT EXISTS periscope.connection_events
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    source LowCardinality(String),
    action LowCardinality(String),
    session_id String,
    connector LowCardinality(String),
    seconds UInt64,
    up_bytes UInt64,
    down_bytes UInt64,
    user_agent String,
    country LowCardinality(String),
    city LowCardinality(String),
    h3_cell UInt64,
    latitude Float64,
    longitude Float64,
    viewer_hash String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_connection_events TO periscope.connection_events AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, source, user_connection.action AS action,
    user_connection.session_id AS session_id, user_connection.connector AS connector,
    user_connection.seconds AS seconds, user_connection.up_bytes AS up_bytes,
    user_connection.down_bytes AS down_bytes, user_connection.user_agent AS user_agent,
    user_connection.place.country AS country, user_connection.place.city AS city,
    user_connection.place.h3_cell AS h3_cell, user_connection.place.latitude AS latitude,
    user_connection.place.longitude AS longitude, user_connection.viewer_hash AS viewer_hash
FROM periscope.events
WHERE type = 'user-connection';

-- What the ingest node measured of a stream, sample by sample.
CREATE TABLE IF NOT EXISTS periscope.stream_health
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    claim_epoch UInt64,
    bandwidth_in_bps UInt64,
    bandwidth_out_bps UInt64,
    viewers UInt32,
    bitrate_kbps UInt32,
    fps_milli UInt32,
    width UInt32,
    height UInt32,
    codec LowCardinality(String),
    keyframe_ms UInt32,
    keyframe_min_ms UInt32,
    buffer_ms UInt32,
    jitter_ms UInt32,
    b_frames Bool,
    health_score UInt32,
    issues Array(LowCardinality(String)),
    audio_codec LowCardinality(String),
    audio_kbps UInt32,
    audio_channels UInt32,
    audio_rate UInt32,
    packets_sent UInt64,
    packets_lost UInt64,
    packets_retransmitted UInt64,
    quality_tier LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 30 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_stream_health TO periscope.stream_health AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, claim_epoch,
    stream_metrics.bandwidth_in_bps AS bandwidth_in_bps, stream_metrics.bandwidth_out_bps AS bandwidth_out_bps,
    stream_metrics.viewers AS viewers, stream_metrics.bitrate_kbps AS bitrate_kbps,
    stream_metrics.fps_milli AS fps_milli, stream_metrics.width AS width, stream_metrics.height AS height,
    stream_metrics.codec AS codec, stream_metrics.keyframe_ms AS keyframe_ms,
    stream_metrics.keyframe_min_ms AS keyframe_min_ms, stream_metrics.buffer_ms AS buffer_ms,
    stream_metrics.jitter_ms AS jitter_ms, stream_metrics.b_frames AS b_frames,
    stream_metrics.health_score AS health_score, stream_metrics.issues AS issues,
    stream_metrics.audio_codec AS audio_codec, stream_metrics.audio_kbps AS audio_kbps,
    stream_metrics.audio_channels AS audio_channels, stream_metrics.audio_rate AS audio_rate,
    stream_metrics.packets_sent AS packets_sent, stream_metrics.packets_lost AS packets_lost,
    stream_metrics.packets_retransmitted AS packets_retransmitted, stream_metrics.quality_tier AS quality_tier
FROM periscope.events
WHERE type = 'stream-metrics';

-- Nodes: the tenant is the owner of the node's cluster.
CREATE TABLE IF NOT EXISTS periscope.node_metrics
(
    tenant_id UUID,
    node_id LowCardinality(String),
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    state LowCardinality(String),
    cpu_permille UInt32,
    memory_used_bytes UInt64,
    memory_total_bytes UInt64,
    disk_used_bytes UInt64,
    disk_total_bytes UInt64,
    shm_used_bytes UInt64,
    shm_total_bytes UInt64,
    bandwidth_in_bps UInt64,
    bandwidth_out_bps UInt64,
    bandwidth_limit_bps UInt64,
    active_streams UInt32,
    active_viewers UInt32,
    latitude Float64,
    longitude Float64,
    version LowCardinality(String),
    boot_id String,
    detail String,
    up_bytes UInt64,
    down_bytes UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, node_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 30 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_node_metrics TO periscope.node_metrics AS
SELECT tenant_id, node_id, occurred_at, event_id, cluster_id, region, node_lifecycle.state AS state,
    node_lifecycle.cpu_permille AS cpu_permille, node_lifecycle.memory_used_bytes AS memory_used_bytes,
    node_lifecycle.memory_total_bytes AS memory_total_bytes, node_lifecycle.disk_used_bytes AS disk_used_bytes,
    node_lifecycle.disk_total_bytes AS disk_total_bytes, node_lifecycle.shm_used_bytes AS shm_used_bytes,
    node_lifecycle.shm_total_bytes AS shm_total_bytes, node_lifecycle.bandwidth_in_bps AS bandwidth_in_bps,
    node_lifecycle.bandwidth_out_bps AS bandwidth_out_bps,
    node_lifecycle.bandwidth_limit_bps AS bandwidth_limit_bps, node_lifecycle.active_streams AS active_streams,
    node_lifecycle.active_viewers AS active_viewers, node_lifecycle.latitude AS latitude,
    node_lifecycle.longitude AS longitude, node_lifecycle.version AS version, node_lifecycle.boot_id AS boot_id,
    node_lifecycle.detail AS detail, node_lifecycle.up_bytes AS up_bytes, node_lifecycle.down_bytes AS down_bytes
FROM periscope.events
WHERE type = 'node-lifecycle';

-- Routing decisions: the tenant is the owner of the cluster that decided.
CREATE TABLE IF NOT EXISTS periscope.routing_events
(
    tenant_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    stream_id UUID,
    stream_tenant_id UUID,
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    status LowCardinality(String),
    purpose LowCardinality(String),
    selected_node LowCardinality(String),
    score Int64,
    reason LowCardinality(String),
    candidates Array(Tuple(node_id String, score Int64, reason String)),
    candidate_count UInt32,
    protocol LowCardinality(String),
    country LowCardinality(String),
    city LowCardinality(String),
    h3_cell UInt64,
    latitude Float64,
    longitude Float64,
    node_latitude Float64,
    node_longitude Float64,
    distance_km Float64,
    decided_in_us UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_routing_events TO periscope.routing_events AS
SELECT tenant_id, occurred_at, event_id, stream_id,
    toUUID(UUIDNumToString(toFixedString(load_balancing.stream_tenant_id, 16))) AS stream_tenant_id,
    cluster_id, region, source, load_balancing.status AS status, load_balancing.purpose AS purpose,
    load_balancing.selected_node AS selected_node, load_balancing.score AS score, load_balancing.reason AS reason,
    load_balancing.candidates AS candidates, load_balancing.candidate_count AS candidate_count,
    load_balancing.protocol AS protocol, load_balancing.client.country AS country,
    load_balancing.client.city AS city, load_balancing.client.h3_cell AS h3_cell,
    load_balancing.client.latitude AS latitude, load_balancing.client.longitude AS longitude,
    load_balancing.node_latitude AS node_latitude, load_balancing.node_longitude AS node_longitude,
    load_balancing.distance_km AS distance_km, load_balancing.decided_in_us AS decided_in_us
FROM periscope.events
WHERE type = 'load-balancing';

-- Envelopes of events that no table above claims, so that an event never vanishes without a trace.
CREATE TABLE IF NOT EXISTS periscope.unclaimed_events
(
    tenant_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    type String,
    stream_id UUID,
    node_id String,
    cluster_id String,
    schema_version UInt32,
    source String,
    trace_id String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, type, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_unclaimed_events TO periscope.unclaimed_events AS
SELECT tenant_id, occurred_at, event_id, type, stream_id, node_id, cluster_id, schema_version, source, trace_id
FROM periscope.events
WHERE type NOT IN ('stream-ingest', 'stream-lifecycle', 'stream-buffer', 'track-list', 'stream-view',
    'user-connection', 'stream-metrics', 'node-lifecycle', 'load-balancing');

CREATE VIEW IF NOT EXISTS periscope.stream_events_v AS SELECT * FROM periscope.stream_events FINAL;
CREATE VIEW IF NOT EXISTS periscope.stream_views_v AS SELECT * FROM periscope.stream_views FINAL;
CREATE VIEW IF NOT EXISTS periscope.connection_events_v AS SELECT * FROM periscope.connection_events FINAL;
CREATE VIEW IF NOT EXISTS periscope.stream_health_v AS SELECT * FROM periscope.stream_health FINAL;
CREATE VIEW IF NOT EXISTS periscope.node_metrics_v AS SELECT * FROM periscope.node_metrics FINAL;
CREATE VIEW IF NOT EXISTS periscope.routing_events_v AS SELECT * FROM periscope.routing_events FINAL;
CREATE VIEW IF NOT EXISTS periscope.unclaimed_events_v AS SELECT * FROM periscope.unclaimed_events FINAL;
