-- A door for each event type: only its own columns and its own view, because an insert pays for every column and view
-- of the table it goes into. What has no door goes through `arrivals`; both lead to the same tables.

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_ingest
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    type String, node_id String, cluster_id String, region String, source String, schema_version UInt32,
    trace_id String, claim_epoch UInt64,
    stream_ingest Tuple(
        protocol String, ingest_url String, key_id String, key_fingerprint String, encoder String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.stream_ingest_to_stream_events TO periscope.stream_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, type, 'admitted' AS status, node_id, cluster_id, region,
    source, schema_version, trace_id, claim_epoch, stream_ingest.protocol AS protocol,
    stream_ingest.encoder AS encoder, stream_ingest.ingest_url AS ingest_url,
    toUUID(UUIDNumToString(toFixedString(stream_ingest.key_id, 16))) AS key_id,
    stream_ingest.key_fingerprint AS key_fingerprint, stream_ingest.place.country AS country,
    stream_ingest.place.city AS city, stream_ingest.place.h3_cell AS h3_cell,
    stream_ingest.place.latitude AS latitude, stream_ingest.place.longitude AS longitude
FROM periscope.arrivals_stream_ingest;

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_view
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String,
    stream_view Tuple(
        playback_id String, protocol String, user_agent String, referrer String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.stream_view_to_stream_views TO periscope.stream_views AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id,
    stream_view.playback_id AS playback_id, stream_view.protocol AS protocol,
    stream_view.user_agent AS user_agent, stream_view.referrer AS referrer,
    stream_view.place.country AS country, stream_view.place.city AS city,
    stream_view.place.h3_cell AS h3_cell, stream_view.place.latitude AS latitude,
    stream_view.place.longitude AS longitude
FROM periscope.arrivals_stream_view;

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_lifecycle
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    type String, node_id String, cluster_id String, region String, source String, schema_version UInt32,
    trace_id String, claim_epoch UInt64,
    stream_lifecycle Tuple(
        state String, reason String, detail String, duration_ms UInt64, viewers UInt64, up_bytes UInt64,
        down_bytes UInt64)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.stream_lifecycle_to_stream_events TO periscope.stream_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, type, stream_lifecycle.state AS status,
    stream_lifecycle.reason AS reason, stream_lifecycle.detail AS detail, node_id, cluster_id, region,
    source, schema_version, trace_id, claim_epoch, stream_lifecycle.duration_ms AS duration_ms,
    stream_lifecycle.viewers AS viewers, stream_lifecycle.up_bytes AS up_bytes,
    stream_lifecycle.down_bytes AS down_bytes
FROM periscope.arrivals_stream_lifecycle;

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_buffer
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    type String, node_id String, cluster_id String, region String, source String, schema_version UInt32,
    trace_id String, claim_epoch UInt64,
    stream_buffer Tuple(
        state String, buffer_ms UInt32, health_score UInt32, issues Array(String),
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.stream_buffer_to_stream_events TO periscope.stream_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, type, stream_buffer.state AS status, node_id, cluster_id,
    region, source, schema_version, trace_id, claim_epoch, stream_buffer.state AS buffer_state,
    stream_buffer.buffer_ms AS buffer_ms, stream_buffer.health_score AS health_score,
    stream_buffer.issues AS issues, stream_buffer.tracks AS tracks
FROM periscope.arrivals_stream_buffer;

CREATE TABLE IF NOT EXISTS periscope.arrivals_track_list
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    type String, node_id String, cluster_id String, region String, source String, schema_version UInt32,
    trace_id String, claim_epoch UInt64,
    track_list Tuple(
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.track_list_to_stream_events TO periscope.stream_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, type, 'tracks' AS status, node_id, cluster_id, region,
    source, schema_version, trace_id, claim_epoch, track_list.tracks AS tracks
FROM periscope.arrivals_track_list;

CREATE TABLE IF NOT EXISTS periscope.arrivals_user_connection
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, source String,
    user_connection Tuple(
        action String, session_id String, connector String, seconds UInt64, up_bytes UInt64,
        down_bytes UInt64, user_agent String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        viewer_hash String)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.user_connection_to_connection_events TO periscope.connection_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, source,
    user_connection.action AS action, user_connection.session_id AS session_id,
    user_connection.connector AS connector, user_connection.seconds AS seconds,
    user_connection.up_bytes AS up_bytes, user_connection.down_bytes AS down_bytes,
    user_connection.user_agent AS user_agent, user_connection.place.country AS country,
    user_connection.place.city AS city, user_connection.place.h3_cell AS h3_cell,
    user_connection.place.latitude AS latitude, user_connection.place.longitude AS longitude,
    user_connection.viewer_hash AS viewer_hash
FROM periscope.arrivals_user_connection;

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_metrics
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, claim_epoch UInt64,
    stream_metrics Tuple(
        bandwidth_in_bps UInt64, bandwidth_out_bps UInt64, viewers UInt32, bitrate_kbps UInt32,
        fps_milli UInt32, width UInt32, height UInt32, codec String, keyframe_ms UInt32, buffer_ms UInt32,
        jitter_ms UInt32, b_frames Bool, health_score UInt32, issues Array(String), audio_codec String,
        audio_kbps UInt32, audio_channels UInt32, audio_rate UInt32, packets_sent UInt64,
        packets_lost UInt64, packets_retransmitted UInt64, quality_tier String, keyframe_min_ms UInt32)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.stream_metrics_to_stream_health TO periscope.stream_health AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, claim_epoch,
    stream_metrics.bandwidth_in_bps AS bandwidth_in_bps,
    stream_metrics.bandwidth_out_bps AS bandwidth_out_bps, stream_metrics.viewers AS viewers,
    stream_metrics.bitrate_kbps AS bitrate_kbps, stream_metrics.fps_milli AS fps_milli,
    stream_metrics.width AS width, stream_metrics.height AS height, stream_metrics.codec AS codec,
    stream_metrics.keyframe_ms AS keyframe_ms, stream_metrics.keyframe_min_ms AS keyframe_min_ms,
    stream_metrics.buffer_ms AS buffer_ms, stream_metrics.jitter_ms AS jitter_ms,
    stream_metrics.b_frames AS b_frames, stream_metrics.health_score AS health_score,
    stream_metrics.issues AS issues, stream_metrics.audio_codec AS audio_codec,
    stream_metrics.audio_kbps AS audio_kbps, stream_metrics.audio_channels AS audio_channels,
    stream_metrics.audio_rate AS audio_rate, stream_metrics.packets_sent AS packets_sent,
    stream_metrics.packets_lost AS packets_lost,
    stream_metrics.packets_retransmitted AS packets_retransmitted,
    stream_metrics.quality_tier AS quality_tier
FROM periscope.arrivals_stream_metrics;

CREATE TABLE IF NOT EXISTS periscope.arrivals_node_lifecycle
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), node_id String,
    cluster_id String, region String,
    node_lifecycle Tuple(
        state String, cpu_permille UInt32, memory_used_bytes UInt64, memory_total_bytes UInt64,
        disk_used_bytes UInt64, disk_total_bytes UInt64, shm_used_bytes UInt64, shm_total_bytes UInt64,
        bandwidth_in_bps UInt64, bandwidth_out_bps UInt64, bandwidth_limit_bps UInt64, active_streams UInt32,
        active_viewers UInt32, latitude Float64, longitude Float64, version String, boot_id String,
        detail String, up_bytes UInt64, down_bytes UInt64)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.node_lifecycle_to_node_metrics TO periscope.node_metrics AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region,
    node_lifecycle.state AS state, node_lifecycle.cpu_permille AS cpu_permille,
    node_lifecycle.memory_used_bytes AS memory_used_bytes,
    node_lifecycle.memory_total_bytes AS memory_total_bytes,
    node_lifecycle.disk_used_bytes AS disk_used_bytes, node_lifecycle.disk_total_bytes AS disk_total_bytes,
    node_lifecycle.shm_used_bytes AS shm_used_bytes, node_lifecycle.shm_total_bytes AS shm_total_bytes,
    node_lifecycle.bandwidth_in_bps AS bandwidth_in_bps,
    node_lifecycle.bandwidth_out_bps AS bandwidth_out_bps,
    node_lifecycle.bandwidth_limit_bps AS bandwidth_limit_bps,
    node_lifecycle.active_streams AS active_streams, node_lifecycle.active_viewers AS active_viewers,
    node_lifecycle.latitude AS latitude, node_lifecycle.longitude AS longitude,
    node_lifecycle.version AS version, node_lifecycle.boot_id AS boot_id, node_lifecycle.detail AS detail,
    node_lifecycle.up_bytes AS up_bytes, node_lifecycle.down_bytes AS down_bytes
FROM periscope.arrivals_node_lifecycle;

CREATE TABLE IF NOT EXISTS periscope.arrivals_load_balancing
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    cluster_id String, region String, source String,
    load_balancing Tuple(
        status String, purpose String, selected_node String, score Int64, reason String,
        candidates Nested(node_id String, score Int64, reason String),
        client Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        distance_km Float64, decided_in_us UInt64, stream_tenant_id String, protocol String,
        node_latitude Float64, node_longitude Float64, candidate_count UInt32)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.load_balancing_to_routing_events TO periscope.routing_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id,
    toUUID(UUIDNumToString(toFixedString(load_balancing.stream_tenant_id, 16))) AS stream_tenant_id,
    cluster_id, region, source, load_balancing.status AS status, load_balancing.purpose AS purpose,
    load_balancing.selected_node AS selected_node, load_balancing.score AS score,
    load_balancing.reason AS reason, load_balancing.candidates AS candidates,
    load_balancing.candidate_count AS candidate_count, load_balancing.protocol AS protocol,
    load_balancing.client.country AS country, load_balancing.client.city AS city,
    load_balancing.client.h3_cell AS h3_cell, load_balancing.client.latitude AS latitude,
    load_balancing.client.longitude AS longitude, load_balancing.node_latitude AS node_latitude,
    load_balancing.node_longitude AS node_longitude, load_balancing.distance_km AS distance_km,
    load_balancing.decided_in_us AS decided_in_us
FROM periscope.arrivals_load_balancing;

CREATE TABLE IF NOT EXISTS periscope.arrivals_push_lifecycle
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, source String, claim_epoch UInt64,
    push_lifecycle Tuple(
        state String, push_id String, target String, protocol String, reason String, detail String,
        duration_ms UInt64, bytes UInt64)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.push_lifecycle_to_push_events TO periscope.push_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source, claim_epoch,
    push_lifecycle.state AS state, push_lifecycle.push_id AS push_id, push_lifecycle.target AS target,
    push_lifecycle.protocol AS protocol, push_lifecycle.reason AS reason, push_lifecycle.detail AS detail,
    push_lifecycle.duration_ms AS duration_ms, push_lifecycle.bytes AS bytes
FROM periscope.arrivals_push_lifecycle;

CREATE TABLE IF NOT EXISTS periscope.arrivals_recording_lifecycle
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, source String, claim_epoch UInt64,
    recording_lifecycle Tuple(
        state String, artifact String, kind String, format String, bytes UInt64, media_ms UInt64,
        started_at UInt64, ended_at UInt64, segments UInt32, percent UInt32, reason String, detail String,
        file String, expires_at UInt64)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.recording_lifecycle_to_artifact_events TO periscope.artifact_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source, claim_epoch,
    recording_lifecycle.state AS state, recording_lifecycle.artifact AS artifact,
    recording_lifecycle.kind AS kind, recording_lifecycle.format AS format,
    recording_lifecycle.bytes AS bytes, recording_lifecycle.media_ms AS media_ms,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.started_at), 'UTC') AS started_at,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.ended_at), 'UTC') AS ended_at,
    recording_lifecycle.segments AS segments, recording_lifecycle.percent AS percent,
    recording_lifecycle.reason AS reason, recording_lifecycle.detail AS detail,
    recording_lifecycle.file AS file,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.expires_at), 'UTC') AS expires_at
FROM periscope.arrivals_recording_lifecycle;

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_metrics_detailed
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, claim_epoch UInt64,
    stream_metrics_detailed Tuple(
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool,
            frame_min_us UInt32, frame_max_us UInt32, keyframe_min_ms UInt32, keyframe_max_ms UInt32),
        outputs Nested(connector String, viewers UInt32, up_bps UInt64))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.stream_metrics_detailed_to_stream_metrics_detailed TO periscope.stream_metrics_detailed AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, claim_epoch,
    stream_metrics_detailed.tracks AS tracks, stream_metrics_detailed.outputs AS outputs
FROM periscope.arrivals_stream_metrics_detailed;

CREATE TABLE IF NOT EXISTS periscope.arrivals_client_sample
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String,
    client_sample Tuple(
        session_id String, connector String, up_bps UInt64, down_bps UInt64, up_bytes UInt64,
        packets_sent UInt64, packets_lost UInt64, packets_retransmitted UInt64, position_ms UInt64,
        seconds UInt32)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.client_sample_to_client_samples TO periscope.client_samples AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region,
    client_sample.session_id AS session_id, client_sample.connector AS connector,
    client_sample.up_bps AS up_bps, client_sample.down_bps AS down_bps, client_sample.up_bytes AS up_bytes,
    client_sample.packets_sent AS packets_sent, client_sample.packets_lost AS packets_lost,
    client_sample.packets_retransmitted AS packets_retransmitted, client_sample.position_ms AS position_ms,
    client_sample.seconds AS seconds
FROM periscope.arrivals_client_sample;

CREATE TABLE IF NOT EXISTS periscope.arrivals_storage_sample
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String,
    storage_sample Tuple(
        scope String, bytes UInt64, files UInt64, recording_bytes UInt64, clip_bytes UInt64,
        vod_bytes UInt64)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.storage_sample_to_storage_samples TO periscope.storage_samples AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region,
    storage_sample.scope AS scope, storage_sample.bytes AS bytes, storage_sample.files AS files,
    storage_sample.recording_bytes AS recording_bytes, storage_sample.clip_bytes AS clip_bytes,
    storage_sample.vod_bytes AS vod_bytes
FROM periscope.arrivals_storage_sample;

CREATE TABLE IF NOT EXISTS periscope.arrivals_player_boot
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, source String,
    player_boot Tuple(
        session_id String, outcome String, first_frame_ms UInt32, resolve_ms UInt32, hydrate_ms UInt32,
        select_ms UInt32, connect_ms UInt32, prebuffer_ms UInt32, cache_hit Bool, player String,
        protocol String, error String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        artifact String, report String)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.player_boot_to_player_boots TO periscope.player_boots AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source,
    player_boot.session_id AS session_id, player_boot.outcome AS outcome,
    player_boot.first_frame_ms AS first_frame_ms, player_boot.resolve_ms AS resolve_ms,
    player_boot.hydrate_ms AS hydrate_ms, player_boot.select_ms AS select_ms,
    player_boot.connect_ms AS connect_ms, player_boot.prebuffer_ms AS prebuffer_ms,
    player_boot.cache_hit AS cache_hit, player_boot.player AS player, player_boot.protocol AS protocol,
    player_boot.error AS error, player_boot.place.country AS country, player_boot.place.city AS city,
    player_boot.place.h3_cell AS h3_cell, player_boot.place.latitude AS latitude,
    player_boot.place.longitude AS longitude, player_boot.artifact AS artifact, player_boot.report AS report
FROM periscope.arrivals_player_boot;

CREATE TABLE IF NOT EXISTS periscope.arrivals_player_session
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, source String,
    player_session Tuple(
        session_id String, sequence UInt32, final Bool, played_ms UInt64, stalled_ms UInt64, stalls UInt32,
        frames_decoded UInt64, frames_dropped UInt64, bitrate_ms UInt64, switches UInt32,
        latency_ms_sum UInt64, latency_samples UInt32, failed Bool, left_before_start Bool, player String,
        protocol String, error String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64),
        artifact String, artifact_kind String, duration_s UInt32, watched Array(UInt32), reached_s UInt32,
        report String)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.player_session_to_player_sessions TO periscope.player_sessions AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source,
    player_session.session_id AS session_id, player_session.sequence AS sequence,
    player_session.final AS final, player_session.played_ms AS played_ms,
    player_session.stalled_ms AS stalled_ms, player_session.stalls AS stalls,
    player_session.frames_decoded AS frames_decoded, player_session.frames_dropped AS frames_dropped,
    player_session.bitrate_ms AS bitrate_ms, player_session.switches AS switches,
    player_session.latency_ms_sum AS latency_ms_sum, player_session.latency_samples AS latency_samples,
    player_session.failed AS failed, player_session.left_before_start AS left_before_start,
    player_session.player AS player, player_session.protocol AS protocol, player_session.error AS error,
    player_session.place.country AS country, player_session.place.city AS city,
    player_session.place.h3_cell AS h3_cell, player_session.place.latitude AS latitude,
    player_session.place.longitude AS longitude, player_session.artifact AS artifact,
    player_session.artifact_kind AS artifact_kind, player_session.duration_s AS duration_s,
    player_session.watched AS watched, player_session.reached_s AS reached_s,
    player_session.report AS report
FROM periscope.arrivals_player_session;

CREATE TABLE IF NOT EXISTS periscope.arrivals_api_requests
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, source String,
    api_requests Tuple(
        auth_kind String, operation_kind String, operation String, requests UInt64, errors UInt64,
        duration_us UInt64, complexity UInt64, callers Array(UInt64))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.api_requests_to_api_requests TO periscope.api_requests AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source,
    api_requests.auth_kind AS auth_kind, api_requests.operation_kind AS operation_kind,
    api_requests.operation AS operation, api_requests.requests AS requests, api_requests.errors AS errors,
    api_requests.duration_us AS duration_us, api_requests.complexity AS complexity,
    api_requests.callers AS callers
FROM periscope.arrivals_api_requests;

CREATE TABLE IF NOT EXISTS periscope.arrivals_service_event
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    node_id String, cluster_id String, region String, source String, trace_id String,
    service_event Tuple(
        action String, actor_kind String, actor String, resource_kind String, resource String,
        attributes Map(String, String))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.service_event_to_service_events TO periscope.service_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source, trace_id,
    service_event.action AS action, service_event.actor_kind AS actor_kind, service_event.actor AS actor,
    service_event.resource_kind AS resource_kind, service_event.resource AS resource,
    service_event.attributes AS attributes
FROM periscope.arrivals_service_event;
