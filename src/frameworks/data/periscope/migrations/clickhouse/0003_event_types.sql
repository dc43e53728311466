-- The event types of schema version 2. Tables first, then the columns they read, so that no event ever finds its
-- column without its table; views are modified in place, so that no event finds its view missing.

-- What became of sending a stream on to another place.
CREATE TABLE IF NOT EXISTS periscope.push_events
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    claim_epoch UInt64,
    state LowCardinality(String),
    push_id String,
    target String,
    protocol LowCardinality(String),
    reason LowCardinality(String),
    detail String,
    duration_ms UInt64,
    bytes UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

-- Recordings, clips and files on their way from request to deletion.
CREATE TABLE IF NOT EXISTS periscope.artifact_events
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    claim_epoch UInt64,
    state LowCardinality(String),
    artifact String,
    kind LowCardinality(String),
    format LowCardinality(String),
    bytes UInt64,
    media_ms UInt64,
    started_at DateTime64(6, 'UTC'),
    ended_at DateTime64(6, 'UTC'),
    segments UInt32,
    percent UInt32,
    reason LowCardinality(String),
    detail String,
    file String,
    expires_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

-- Every track and output of a stream on one node, once a minute.
CREATE TABLE IF NOT EXISTS periscope.stream_metrics_detailed
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    claim_epoch UInt64,
    tracks Array(Tuple(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
        fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool,
        frame_min_us UInt32, frame_max_us UInt32, keyframe_min_ms UInt32, keyframe_max_ms UInt32)),
    outputs Array(Tuple(connector String, viewers UInt32, up_bps UInt64))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 30 DAY;

-- What a node saw of one viewer's connection, sample by sample.
CREATE TABLE IF NOT EXISTS periscope.client_samples
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    session_id String,
    connector LowCardinality(String),
    up_bps UInt64,
    down_bps UInt64,
    up_bytes UInt64,
    packets_sent UInt64,
    packets_lost UInt64,
    packets_retransmitted UInt64,
    position_ms UInt64,
    seconds UInt32
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 30 DAY;

-- What a node's disk holds of one stream.
CREATE TABLE IF NOT EXISTS periscope.storage_samples
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    scope LowCardinality(String),
    bytes UInt64,
    files UInt64,
    recording_bytes UInt64,
    clip_bytes UInt64,
    vod_bytes UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 30 DAY;

-- The audit trail.
CREATE TABLE IF NOT EXISTS periscope.service_events
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    trace_id String,
    action LowCardinality(String),
    actor_kind LowCardinality(String),
    actor String,
    resource_kind LowCardinality(String),
    resource String,
    attributes Map(String, String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 365 DAY;

-- How players came to their first frame.
CREATE TABLE IF NOT EXISTS periscope.player_boots
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    session_id String,
    outcome LowCardinality(String),
    first_frame_ms UInt32,
    resolve_ms UInt32,
    hydrate_ms UInt32,
    select_ms UInt32,
    connect_ms UInt32,
    prebuffer_ms UInt32,
    cache_hit Bool,
    player LowCardinality(String),
    protocol LowCardinality(String),
    error LowCardinality(String),
    country LowCardinality(String),
    city LowCardinality(String),
    h3_cell UInt64,
    latitude Float64,
    longitude Float64,
    artifact String,
    report LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

-- What players lived through between two of their reports; sums only.
CREATE TABLE IF NOT EXISTS periscope.player_sessions
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    session_id String,
    sequence UInt32,
    final Bool,
    played_ms UInt64,
    stalled_ms UInt64,
    stalls UInt32,
    frames_decoded UInt64,
    frames_dropped UInt64,
    bitrate_ms UInt64,
    switches UInt32,
    latency_ms_sum UInt64,
    latency_samples UInt32,
    failed Bool,
    left_before_start Bool,
    player LowCardinality(String),
    protocol LowCardinality(String),
    error LowCardinality(String),
    country LowCardinality(String),
    city LowCardinality(String),
    h3_cell UInt64,
    latitude Float64,
    longitude Float64,
    artifact String,
    artifact_kind LowCardinality(String),
    duration_s UInt32,
    watched Array(UInt32),
    reached_s UInt32,
    report LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

-- What the API was asked, minute by minute.
CREATE TABLE IF NOT EXISTS periscope.api_requests
(
    tenant_id UUID,
    stream_id UUID,
    occurred_at DateTime64(6, 'UTC'),
    event_id UUID,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    region LowCardinality(String),
    source LowCardinality(String),
    auth_kind LowCardinality(String),
    operation_kind LowCardinality(String),
    operation LowCardinality(String),
    requests UInt64,
    errors UInt64,
    duration_us UInt64,
    complexity UInt64,
    callers Array(UInt64)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, stream_id, occurred_at, event_id)
TTL toDateTime(occurred_at) + INTERVAL 90 DAY;

-- The shape of the new events, in both passages.
ALTER TABLE periscope.events
    ADD COLUMN IF NOT EXISTS push_lifecycle Tuple(
        state String, push_id String, target String, protocol String, reason String, detail String,
        duration_ms UInt64, bytes UInt64),
    ADD COLUMN IF NOT EXISTS recording_lifecycle Tuple(
        state String, artifact String, kind String, format String, bytes UInt64, media_ms UInt64,
        started_at UInt64, ended_at UInt64, segments UInt32, percent UInt32, reason String, detail String,
        file String, expires_at UInt64),
    ADD COLUMN IF NOT EXISTS stream_metrics_detailed Tuple(
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32,
            b_frames Bool, frame_min_us UInt32, frame_max_us UInt32, keyframe_min_ms UInt32,
            keyframe_max_ms UInt32),
        outputs Nested(connector String, viewers UInt32, up_bps UInt64)),
    ADD COLUMN IF NOT EXISTS client_sample Tuple(
        session_id String, connector String, up_bps UInt64, down_bps UInt64, up_bytes UInt64,
        packets_sent UInt64, packets_lost UInt64, packets_retransmitted UInt64, position_ms UInt64,
        seconds UInt32),
    ADD COLUMN IF NOT EXISTS player_boot Tuple(
        session_id String, outcome String, first_frame_ms UInt32, resolve_ms UInt32, hydrate_ms UInt32,
        select_ms UInt32, connect_ms UInt32, prebuffer_ms UInt32, cache_hit Bool, player String,
        protocol String, error String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        artifact String, report String),
    ADD COLUMN IF NOT EXISTS player_session Tuple(
        session_id String, sequence UInt32, final Bool, played_ms UInt64, stalled_ms UInt64, stalls UInt32,
        frames_decoded UInt64, frames_dropped UInt64, bitrate_ms UInt64, switches UInt32,
        latency_ms_sum UInt64, latency_samples UInt32, failed Bool, left_before_start Bool, player String,
        protocol String, error String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        artifact String, artifact_kind String, duration_s UInt32, watched Array(UInt32), reached_s UInt32,
        report String),
    ADD COLUMN IF NOT EXISTS storage_sample Tuple(
        scope String, bytes UInt64, files UInt64, recording_bytes UInt64, clip_bytes UInt64,
        vod_bytes UInt64),
    ADD COLUMN IF NOT EXISTS service_event Tuple(
        action String, actor_kind String, actor String, resource_kind String, resource String,
        attributes Map(String, String)),
    ADD COLUMN IF NOT EXISTS api_requests Tuple(
        auth_kind String, operation_kind String, operation String, requests UInt64, errors UInt64,
        duration_us UInt64, complexity UInt64, callers Array(UInt64));

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_push_events TO periscope.push_events AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source, claim_epoch,
    push_lifecycle.state AS state, push_lifecycle.push_id AS push_id, push_lifecycle.target AS target,
    push_lifecycle.protocol AS protocol, push_lifecycle.reason AS reason, push_lifecycle.detail AS detail,
    push_lifecycle.duration_ms AS duration_ms, push_lifecycle.bytes AS bytes
FROM periscope.events
WHERE type = 'push-lifecycle';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_artifact_events TO periscope.artifact_events AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source, claim_epoch,
    recording_lifecycle.state AS state, recording_lifecycle.artifact AS artifact, recording_lifecycle.kind AS kind,
    recording_lifecycle.format AS format, recording_lifecycle.bytes AS bytes,
    recording_lifecycle.media_ms AS media_ms,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.started_at), 'UTC') AS started_at,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.ended_at), 'UTC') AS ended_at,
    recording_lifecycle.segments AS segments, recording_lifecycle.percent AS percent,
    recording_lifecycle.reason AS reason, recording_lifecycle.detail AS detail, recording_lifecycle.file AS file,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.expires_at), 'UTC') AS expires_at
FROM periscope.events
WHERE type = 'recording-lifecycle';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_stream_metrics_detailed TO periscope.stream_metrics_detailed AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, claim_epoch,
    stream_metrics_detailed.tracks AS tracks, stream_metrics_detailed.outputs AS outputs
FROM periscope.events
WHERE type = 'stream-metrics-detailed';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_client_samples TO periscope.client_samples AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region,
    client_sample.session_id AS session_id, client_sample.connector AS connector, client_sample.up_bps AS up_bps,
    client_sample.down_bps AS down_bps, client_sample.up_bytes AS up_bytes,
    client_sample.packets_sent AS packets_sent, client_sample.packets_lost AS packets_lost,
    client_sample.packets_retransmitted AS packets_retransmitted, client_sample.position_ms AS position_ms,
    client_sample.seconds AS seconds
FROM periscope.events
WHERE type = 'client-sample';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_storage_samples TO periscope.storage_samples AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, storage_sample.scope AS scope,
    storage_sample.bytes AS bytes, storage_sample.files AS files,
    storage_sample.recording_bytes AS recording_bytes, storage_sample.clip_bytes AS clip_bytes,
    storage_sample.vod_bytes AS vod_bytes
FROM periscope.events
WHERE type = 'storage-sample';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_service_events TO periscope.service_events AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source, trace_id,
    service_event.action AS action, service_event.actor_kind AS actor_kind, service_event.actor AS actor,
    service_event.resource_kind AS resource_kind, service_event.resource AS resource,
    service_event.attributes AS attributes
FROM periscope.events
WHERE type = 'service';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_player_boots TO periscope.player_boots AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source,
    player_boot.session_id AS session_id, player_boot.outcome AS outcome,
    player_boot.first_frame_ms AS first_frame_ms, player_boot.resolve_ms AS resolve_ms,
    player_boot.hydrate_ms AS hydrate_ms, player_boot.select_ms AS select_ms, player_boot.connect_ms AS connect_ms,
    player_boot.prebuffer_ms AS prebuffer_ms, player_boot.cache_hit AS cache_hit, player_boot.player AS player,
    player_boot.protocol AS protocol, player_boot.error AS error, player_boot.place.country AS country,
    player_boot.place.city AS city, player_boot.place.h3_cell AS h3_cell, player_boot.place.latitude AS latitude,
    player_boot.place.longitude AS longitude, player_boot.artifact AS artifact, player_boot.report AS report
FROM periscope.events
WHERE type = 'player-boot';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_player_sessions TO periscope.player_sessions AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source,
    player_session.session_id AS session_id, player_session.sequence AS sequence, player_session.final AS final,
    player_session.played_ms AS played_ms, player_session.stalled_ms AS stalled_ms,
    player_session.stalls AS stalls, player_session.frames_decoded AS frames_decoded,
    player_session.frames_dropped AS frames_dropped, player_session.bitrate_ms AS bitrate_ms,
    player_session.switches AS switches, player_session.latency_ms_sum AS latency_ms_sum,
    player_session.latency_samples AS latency_samples, player_session.failed AS failed,
    player_session.left_before_start AS left_before_start, player_session.player AS player,
    player_session.protocol AS protocol, player_session.error AS error, player_session.place.country AS country,
    player_session.place.city AS city, player_session.place.h3_cell AS h3_cell,
    player_session.place.latitude AS latitude, player_session.place.longitude AS longitude,
    player_session.artifact AS artifact, player_session.artifact_kind AS artifact_kind,
    player_session.duration_s AS duration_s, player_session.watched AS watched,
    player_session.reached_s AS reached_s, player_session.report AS report
FROM periscope.events
WHERE type = 'player-session';

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.events_to_api_requests TO periscope.api_requests AS
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source,
    api_requests.auth_kind AS auth_kind, api_requests.operation_kind AS operation_kind,
    api_requests.operation AS operation, api_requests.requests AS requests, api_requests.errors AS errors,
    api_requests.duration_us AS duration_us, api_requests.complexity AS complexity, api_requests.callers AS callers
FROM periscope.events
WHERE type = 'api-requests';

ALTER TABLE periscope.events_to_unclaimed_events MODIFY QUERY
SELECT tenant_id, occurred_at, event_id, type, stream_id, node_id, cluster_id, schema_version, source, trace_id
FROM periscope.events
WHERE type NOT IN ('stream-ingest', 'stream-lifecycle', 'stream-buffer', 'track-list', 'stream-view',
    'user-connection', 'stream-metrics', 'node-lifecycle', 'load-balancing', 'push-lifecycle',
    'recording-lifecycle', 'stream-metrics-detailed', 'client-sample', 'storage-sample', 'service',
    'player-boot', 'player-session', 'api-requests');

ALTER TABLE periscope.arrivals
    ADD COLUMN IF NOT EXISTS push_lifecycle Tuple(
        state String, push_id String, target String, protocol String, reason String, detail String,
        duration_ms UInt64, bytes UInt64),
    ADD COLUMN IF NOT EXISTS recording_lifecycle Tuple(
        state String, artifact String, kind String, format String, bytes UInt64, media_ms UInt64,
        started_at UInt64, ended_at UInt64, segments UInt32, percent UInt32, reason String, detail String,
        file String, expires_at UInt64),
    ADD COLUMN IF NOT EXISTS stream_metrics_detailed Tuple(
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32,
            b_frames Bool, frame_min_us UInt32, frame_max_us UInt32, keyframe_min_ms UInt32,
            keyframe_max_ms UInt32),
        outputs Nested(connector String, viewers UInt32, up_bps UInt64)),
    ADD COLUMN IF NOT EXISTS client_sample Tuple(
        session_id String, connector String, up_bps UInt64, down_bps UInt64, up_bytes UInt64,
        packets_sent UInt64, packets_lost UInt64, packets_retransmitted UInt64, position_ms UInt64,
        seconds UInt32),
    ADD COLUMN IF NOT EXISTS player_boot Tuple(
        session_id String, outcome String, first_frame_ms UInt32, resolve_ms UInt32, hydrate_ms UInt32,
        select_ms UInt32, connect_ms UInt32, prebuffer_ms UInt32, cache_hit Bool, player String,
        protocol String, error String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        artifact String, report String),
    ADD COLUMN IF NOT EXISTS player_session Tuple(
        session_id String, sequence UInt32, final Bool, played_ms UInt64, stalled_ms UInt64, stalls UInt32,
        frames_decoded UInt64, frames_dropped UInt64, bitrate_ms UInt64, switches UInt32,
        latency_ms_sum UInt64, latency_samples UInt32, failed Bool, left_before_start Bool, player String,
        protocol String, error String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        artifact String, artifact_kind String, duration_s UInt32, watched Array(UInt32), reached_s UInt32,
        report String),
    ADD COLUMN IF NOT EXISTS storage_sample Tuple(
        scope String, bytes UInt64, files UInt64, recording_bytes UInt64, clip_bytes UInt64,
        vod_bytes UInt64),
    ADD COLUMN IF NOT EXISTS service_event Tuple(
        action String, actor_kind String, actor String, resource_kind String, resource String,
        attributes Map(String, String)),
    ADD COLUMN IF NOT EXISTS api_requests Tuple(
        auth_kind String, operation_kind String, operation String, requests UInt64, errors UInt64,
        duration_us UInt64, complexity UInt64, callers Array(UInt64));

ALTER TABLE periscope.arrivals_to_events MODIFY QUERY
SELECT * REPLACE (
    toUUID(UUIDNumToString(toFixedString(event_id, 16))) AS event_id,
    toLowCardinality(type) AS type,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(toFixedString(tenant_id, 16))) AS tenant_id,
    toUUID(UUIDNumToString(toFixedString(stream_id, 16))) AS stream_id)
FROM periscope.arrivals;

CREATE VIEW IF NOT EXISTS periscope.push_events_v AS SELECT * FROM periscope.push_events FINAL;
CREATE VIEW IF NOT EXISTS periscope.artifact_events_v AS SELECT * FROM periscope.artifact_events FINAL;
CREATE VIEW IF NOT EXISTS periscope.stream_metrics_detailed_v AS SELECT * FROM periscope.stream_metrics_detailed FINAL;
CREATE VIEW IF NOT EXISTS periscope.client_samples_v AS SELECT * FROM periscope.client_samples FINAL;
CREATE VIEW IF NOT EXISTS periscope.storage_samples_v AS SELECT * FROM periscope.storage_samples FINAL;
CREATE VIEW IF NOT EXISTS periscope.service_events_v AS SELECT * FROM periscope.service_events FINAL;
CREATE VIEW IF NOT EXISTS periscope.player_boots_v AS SELECT * FROM periscope.player_boots FINAL;
CREATE VIEW IF NOT EXISTS periscope.player_sessions_v AS SELECT * FROM periscope.player_sessions FINAL;
CREATE VIEW IF NOT EXISTS periscope.api_requests_v AS SELECT * FROM periscope.api_requests FINAL;
