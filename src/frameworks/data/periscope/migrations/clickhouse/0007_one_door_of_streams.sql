-- One door for the types that share a table, because every insert costs much, however few its rows are. The doors that
-- each of them had stay for writers of the version before; what no one inserts into costs nothing.

CREATE TABLE IF NOT EXISTS periscope.arrivals_stream_events
(
    event_id FixedString(16), occurred_at UInt64, tenant_id FixedString(16), stream_id FixedString(16),
    type String, node_id String, cluster_id String, region String, source String, schema_version UInt32,
    trace_id String, claim_epoch UInt64,
    stream_ingest Tuple(
        protocol String, ingest_url String, key_id String, key_fingerprint String, encoder String,
        place Tuple(country String, city String, h3_cell UInt64, latitude Float64, longitude Float64)),
    stream_lifecycle Tuple(
        state String, reason String, detail String, duration_ms UInt64, viewers UInt64, up_bytes UInt64,
        down_bytes UInt64),
    stream_buffer Tuple(
        state String, buffer_ms UInt32, health_score UInt32, issues Array(String),
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool)),
    track_list Tuple(
        tracks Nested(name String, type String, codec String, bitrate_kbps UInt32, width UInt32, height UInt32,
            fps_milli UInt32, channels UInt32, sample_rate UInt32, buffer_ms UInt32, jitter_ms UInt32, b_frames Bool))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS periscope.arrivals_to_stream_events TO periscope.stream_events AS
SELECT
    toUUID(UUIDNumToString(tenant_id)) AS tenant_id, toUUID(UUIDNumToString(stream_id)) AS stream_id,
    fromUnixTimestamp64Micro(toInt64(occurred_at), 'UTC') AS occurred_at,
    toUUID(UUIDNumToString(event_id)) AS event_id, type,
    multiIf(type = 'stream-lifecycle', stream_lifecycle.state, type = 'stream-buffer', stream_buffer.state,
        type = 'stream-ingest', 'admitted', 'tracks') AS status,
    stream_lifecycle.reason AS reason, stream_lifecycle.detail AS detail, node_id, cluster_id, region, source,
    schema_version, trace_id, claim_epoch, stream_ingest.protocol AS protocol, stream_ingest.encoder AS encoder,
    stream_ingest.ingest_url AS ingest_url,
    toUUID(UUIDNumToString(toFixedString(stream_ingest.key_id, 16))) AS key_id,
    stream_ingest.key_fingerprint AS key_fingerprint, stream_buffer.state AS buffer_state,
    stream_buffer.buffer_ms AS buffer_ms, stream_buffer.health_score AS health_score,
    stream_buffer.issues AS issues, if(type = 'track-list', track_list.tracks, stream_buffer.tracks) AS tracks,
    stream_lifecycle.duration_ms AS duration_ms, stream_lifecycle.viewers AS viewers,
    stream_lifecycle.up_bytes AS up_bytes, stream_lifecycle.down_bytes AS down_bytes,
    stream_ingest.place.country AS country, stream_ingest.place.city AS city,
    stream_ingest.place.h3_cell AS h3_cell, stream_ingest.place.latitude AS latitude,
    stream_ingest.place.longitude AS longitude
FROM periscope.arrivals_stream_events;
