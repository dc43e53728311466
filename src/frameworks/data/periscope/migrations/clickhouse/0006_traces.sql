-- The trace in which an event was made. Tables first, then the columns of their doors (the common passage has it), then
-- the views between, which are modified in place, so that no event finds its view missing.

ALTER TABLE periscope.connection_events ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.stream_views ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.routing_events ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.push_events ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.artifact_events ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.player_boots ADD COLUMN IF NOT EXISTS trace_id String;

ALTER TABLE periscope.arrivals_user_connection ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.arrivals_stream_view ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.arrivals_load_balancing ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.arrivals_push_lifecycle ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.arrivals_recording_lifecycle ADD COLUMN IF NOT EXISTS trace_id String;
ALTER TABLE periscope.arrivals_player_boot ADD COLUMN IF NOT EXISTS trace_id String;

ALTER TABLE periscope.events_to_connection_events MODIFY QUERY
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, source, user_connection.action AS action,
    user_connection.session_id AS session_id, user_connection.connector AS connector,
    user_connection.seconds AS seconds, user_connection.up_bytes AS up_bytes,
    user_connection.down_bytes AS down_bytes, user_connection.user_agent AS user_agent,
    user_connection.place.country AS country, user_connection.place.city AS city,
    user_connection.place.h3_cell AS h3_cell, user_connection.place.latitude AS latitude,
    user_connection.place.longitude AS longitude, user_connection.viewer_hash AS viewer_hash, trace_id
FROM periscope.events
WHERE type = 'user-connection';

ALTER TABLE periscope.user_connection_to_connection_events MODIFY QUERY
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
    user_connection.viewer_hash AS viewer_hash, trace_id
FROM periscope.arrivals_user_connection;

ALTER TABLE periscope.events_to_stream_views MODIFY QUERY
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, stream_view.playback_id AS playback_id,
    stream_view.protocol AS protocol, stream_view.user_agent AS user_agent, stream_view.referrer AS referrer,
    stream_view.place.country AS country, stream_view.place.city AS city, stream_view.place.h3_cell AS h3_cell,
    stream_view.place.latitude AS latitude, stream_view.place.longitude AS longitude, trace_id
FROM periscope.events
WHERE type = 'stream-view';

ALTER TABLE periscope.stream_view_to_stream_views MODIFY QUERY
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id,
    stream_view.playback_id AS playback_id, stream_view.protocol AS protocol,
    stream_view.user_agent AS user_agent, stream_view.referrer AS referrer,
    stream_view.place.country AS country, stream_view.place.city AS city,
    stream_view.place.h3_cell AS h3_cell, stream_view.place.latitude AS latitude,
    stream_view.place.longitude AS longitude, trace_id
FROM periscope.arrivals_stream_view;

ALTER TABLE periscope.events_to_routing_events MODIFY QUERY
SELECT tenant_id, occurred_at, event_id, stream_id,
    toUUID(UUIDNumToString(toFixedString(load_balancing.stream_tenant_id, 16))) AS stream_tenant_id,
    cluster_id, region, source, load_balancing.status AS status, load_balancing.purpose AS purpose,
    load_balancing.selected_node AS selected_node, load_balancing.score AS score, load_balancing.reason AS reason,
    load_balancing.candidates AS candidates, load_balancing.candidate_count AS candidate_count,
    load_balancing.protocol AS protocol, load_balancing.client.country AS country,
    load_balancing.client.city AS city, load_balancing.client.h3_cell AS h3_cell,
    load_balancing.client.latitude AS latitude, load_balancing.client.longitude AS longitude,
    load_balancing.node_latitude AS node_latitude, load_balancing.node_longitude AS node_longitude,
    load_balancing.distance_km AS distance_km, load_balancing.decided_in_us AS decided_in_us, trace_id
FROM periscope.events
WHERE type = 'load-balancing';

ALTER TABLE periscope.load_balancing_to_routing_events MODIFY QUERY
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
    load_balancing.decided_in_us AS decided_in_us, trace_id
FROM periscope.arrivals_load_balancing;

ALTER TABLE periscope.events_to_push_events MODIFY QUERY
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source, claim_epoch,
    push_lifecycle.state AS state, push_lifecycle.push_id AS push_id, push_lifecycle.target AS target,
    push_lifecycle.protocol AS protocol, push_lifecycle.reason AS reason, push_lifecycle.detail AS detail,
    push_lifecycle.duration_ms AS duration_ms, push_lifecycle.bytes AS bytes, trace_id
FROM periscope.events
WHERE type = 'push-lifecycle';

ALTER TABLE periscope.push_lifecycle_to_push_events MODIFY QUERY
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, node_id, cluster_id, region, source, claim_epoch,
    push_lifecycle.state AS state, push_lifecycle.push_id AS push_id, push_lifecycle.target AS target,
    push_lifecycle.protocol AS protocol, push_lifecycle.reason AS reason, push_lifecycle.detail AS detail,
    push_lifecycle.duration_ms AS duration_ms, push_lifecycle.bytes AS bytes, trace_id
FROM periscope.arrivals_push_lifecycle;

ALTER TABLE periscope.events_to_artifact_events MODIFY QUERY
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source, claim_epoch,
    recording_lifecycle.state AS state, recording_lifecycle.artifact AS artifact, recording_lifecycle.kind AS kind,
    recording_lifecycle.format AS format, recording_lifecycle.bytes AS bytes,
    recording_lifecycle.media_ms AS media_ms,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.started_at), 'UTC') AS started_at,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.ended_at), 'UTC') AS ended_at,
    recording_lifecycle.segments AS segments, recording_lifecycle.percent AS percent,
    recording_lifecycle.reason AS reason, recording_lifecycle.detail AS detail, recording_lifecycle.file AS file,
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.expires_at), 'UTC') AS expires_at, trace_id
FROM periscope.events
WHERE type = 'recording-lifecycle';

ALTER TABLE periscope.recording_lifecycle_to_artifact_events MODIFY QUERY
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
    fromUnixTimestamp64Micro(toInt64(recording_lifecycle.expires_at), 'UTC') AS expires_at, trace_id
FROM periscope.arrivals_recording_lifecycle;

ALTER TABLE periscope.events_to_player_boots MODIFY QUERY
SELECT tenant_id, stream_id, occurred_at, event_id, node_id, cluster_id, region, source,
    player_boot.session_id AS session_id, player_boot.outcome AS outcome,
    player_boot.first_frame_ms AS first_frame_ms, player_boot.resolve_ms AS resolve_ms,
    player_boot.hydrate_ms AS hydrate_ms, player_boot.select_ms AS select_ms, player_boot.connect_ms AS connect_ms,
    player_boot.prebuffer_ms AS prebuffer_ms, player_boot.cache_hit AS cache_hit, player_boot.player AS player,
    player_boot.protocol AS protocol, player_boot.error AS error, player_boot.place.country AS country,
    player_boot.place.city AS city, player_boot.place.h3_cell AS h3_cell, player_boot.place.latitude AS latitude,
    player_boot.place.longitude AS longitude, player_boot.artifact AS artifact, player_boot.report AS report, trace_id
FROM periscope.events
WHERE type = 'player-boot';

ALTER TABLE periscope.player_boot_to_player_boots MODIFY QUERY
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
    player_boot.place.longitude AS longitude, player_boot.artifact AS artifact, player_boot.report AS report, trace_id
FROM periscope.arrivals_player_boot;

-- A view keeps the columns its `*` meant when it was made.
CREATE OR REPLACE VIEW periscope.connection_events_v AS SELECT * FROM periscope.connection_events FINAL;
CREATE OR REPLACE VIEW periscope.stream_views_v AS SELECT * FROM periscope.stream_views FINAL;
CREATE OR REPLACE VIEW periscope.routing_events_v AS SELECT * FROM periscope.routing_events FINAL;
CREATE OR REPLACE VIEW periscope.push_events_v AS SELECT * FROM periscope.push_events FINAL;
CREATE OR REPLACE VIEW periscope.artifact_events_v AS SELECT * FROM periscope.artifact_events FINAL;
CREATE OR REPLACE VIEW periscope.player_boots_v AS SELECT * FROM periscope.player_boots FINAL;
