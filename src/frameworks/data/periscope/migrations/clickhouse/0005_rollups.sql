-- What waits for roll-up, hours and days made of buckets, and one row per closed session.

-- A bucket is dirty while it was marked at or after the moment its last recomputation began; both by this engine's clock.
CREATE TABLE IF NOT EXISTS periscope.dirty
(
    kind LowCardinality(String),
    tenant_id UUID,
    subject String,
    bucket DateTime('UTC'),
    marked_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) DEFAULT now64(6),
    done_at SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (kind, tenant_id, subject, bucket)
TTL toDateTime(done_at) + INTERVAL 1 HOUR DELETE WHERE done_at > marked_at;

CREATE TABLE IF NOT EXISTS periscope.health_1h
(
    tenant_id UUID,
    stream_id UUID,
    bucket DateTime('UTC'),
    version UInt64,
    node_id LowCardinality(String),
    buckets UInt64,
    samples UInt64,
    bitrate_kbps_sum UInt64,
    fps_milli_sum UInt64,
    buffer_ms_sum UInt64,
    jitter_ms_sum UInt64,
    jitter_ms_max UInt32,
    health_score_sum UInt64,
    issue_samples UInt64,
    issues Array(String),
    bandwidth_in_bps_sum UInt64,
    bandwidth_out_bps_sum UInt64,
    bandwidth_out_bps_max UInt64,
    viewers_sum UInt64,
    viewers_max UInt32,
    packets_sent UInt64,
    packets_lost UInt64,
    packet_loss_max Float64,
    tiers Map(String, UInt64),
    codecs Map(String, UInt64),
    tiers_us Map(String, UInt64),
    codecs_us Map(String, UInt64),
    live_us UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.health_1d AS periscope.health_1h
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 1825 DAY;

CREATE TABLE IF NOT EXISTS periscope.lifecycle_1h AS periscope.lifecycle_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.lifecycle_1d AS periscope.lifecycle_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 1825 DAY;

CREATE TABLE IF NOT EXISTS periscope.viewers_1h AS periscope.viewers_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket, country, cluster_id)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.viewers_1d AS periscope.viewers_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (tenant_id, stream_id, bucket, country, cluster_id)
TTL bucket + INTERVAL 1825 DAY;

CREATE TABLE IF NOT EXISTS periscope.peaks_1h AS periscope.peaks_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.peaks_1d AS periscope.peaks_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 1825 DAY;

CREATE TABLE IF NOT EXISTS periscope.nodes_1h AS periscope.nodes_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, node_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.nodes_1d AS periscope.nodes_5m
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (tenant_id, node_id, bucket)
TTL bucket + INTERVAL 1825 DAY;

-- One row per viewer session that closed. `closed` is false where a session that was taken for closed turned out to
-- be open: the row stays, so that its newer version hides the older. `anomalous`: nobody said that it ended.
CREATE TABLE IF NOT EXISTS periscope.viewer_sessions_final
(
    tenant_id UUID,
    stream_id UUID,
    node_id String,
    session_id String,
    version UInt64,
    closed Bool,
    anomalous Bool,
    connected_at DateTime64(6, 'UTC'),
    ended_at DateTime64(6, 'UTC'),
    seconds UInt64,
    up_bytes UInt64,
    down_bytes UInt64,
    cluster_id LowCardinality(String),
    connector LowCardinality(String),
    country LowCardinality(String),
    city LowCardinality(String),
    viewer_hash String
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, stream_id, node_id, session_id)
TTL toDateTime(ended_at) + INTERVAL 730 DAY;

-- One row per claim of a stream that ended.
CREATE TABLE IF NOT EXISTS periscope.stream_sessions_final
(
    tenant_id UUID,
    stream_id UUID,
    claim_epoch UInt64,
    version UInt64,
    closed Bool,
    anomalous Bool,
    started_at DateTime64(6, 'UTC'),
    ended_at DateTime64(6, 'UTC'),
    seconds UInt64,
    viewers UInt64,
    up_bytes UInt64,
    down_bytes UInt64,
    node_id LowCardinality(String),
    cluster_id LowCardinality(String),
    reason LowCardinality(String),
    detail String
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant_id, stream_id, claim_epoch)
TTL toDateTime(ended_at) + INTERVAL 730 DAY;

CREATE VIEW IF NOT EXISTS periscope.health_1h_v AS SELECT * FROM periscope.health_1h FINAL;
CREATE VIEW IF NOT EXISTS periscope.health_1d_v AS SELECT * FROM periscope.health_1d FINAL;
CREATE VIEW IF NOT EXISTS periscope.lifecycle_1h_v AS SELECT * FROM periscope.lifecycle_1h FINAL;
CREATE VIEW IF NOT EXISTS periscope.lifecycle_1d_v AS SELECT * FROM periscope.lifecycle_1d FINAL;
CREATE VIEW IF NOT EXISTS periscope.viewers_1h_v AS SELECT * FROM periscope.viewers_1h FINAL;
CREATE VIEW IF NOT EXISTS periscope.viewers_1d_v AS SELECT * FROM periscope.viewers_1d FINAL;
CREATE VIEW IF NOT EXISTS periscope.peaks_1h_v AS SELECT * FROM periscope.peaks_1h FINAL;
CREATE VIEW IF NOT EXISTS periscope.peaks_1d_v AS SELECT * FROM periscope.peaks_1d FINAL;
CREATE VIEW IF NOT EXISTS periscope.nodes_1h_v AS SELECT * FROM periscope.nodes_1h FINAL;
CREATE VIEW IF NOT EXISTS periscope.nodes_1d_v AS SELECT * FROM periscope.nodes_1d FINAL;
CREATE VIEW IF NOT EXISTS periscope.viewer_sessions_final_v AS
    SELECT * EXCEPT (closed) FROM periscope.viewer_sessions_final FINAL WHERE closed;
CREATE VIEW IF NOT EXISTS periscope.stream_sessions_final_v AS
    SELECT * EXCEPT (closed) FROM periscope.stream_sessions_final FINAL WHERE closed;
