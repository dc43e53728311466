-- Five-minute buckets, each recomputed from facts whenever a fact of it arrives; the newest version counts.
-- Sums and counts only: ratios are the reader's, uniques are sketches that merge. Hours and days are read from these.

CREATE TABLE IF NOT EXISTS periscope.health_5m
(
    tenant_id UUID,
    stream_id UUID,
    bucket DateTime('UTC'),
    version UInt64,
    node_id LowCardinality(String),
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
    live_us UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.lifecycle_5m
(
    tenant_id UUID,
    stream_id UUID,
    bucket DateTime('UTC'),
    version UInt64,
    cluster_id LowCardinality(String),
    views UInt64,
    ingest_us UInt64,
    ingress_bytes UInt64,
    dry UInt64,
    recovered UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.viewers_5m
(
    tenant_id UUID,
    stream_id UUID,
    bucket DateTime('UTC'),
    country LowCardinality(String),
    cluster_id LowCardinality(String),
    version UInt64,
    opened UInt64,
    closed UInt64,
    viewer_us UInt64,
    egress_bytes UInt64,
    ingress_bytes UInt64,
    unique_viewers AggregateFunction(uniqCombined64, String),
    cities AggregateFunction(uniqCombined64, String)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket, country, cluster_id)
TTL bucket + INTERVAL 400 DAY;

-- The most closed sessions open at once; of countries and clusters together, since peaks do not add up.
CREATE TABLE IF NOT EXISTS periscope.peaks_5m
(
    tenant_id UUID,
    stream_id UUID,
    bucket DateTime('UTC'),
    version UInt64,
    viewers UInt32
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, stream_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE TABLE IF NOT EXISTS periscope.nodes_5m
(
    tenant_id UUID,
    node_id LowCardinality(String),
    bucket DateTime('UTC'),
    version UInt64,
    cluster_id LowCardinality(String),
    samples UInt64,
    cpu_permille_sum UInt64,
    cpu_permille_max UInt32,
    memory_permille_sum UInt64,
    memory_permille_max UInt32,
    disk_permille_sum UInt64,
    disk_permille_max UInt32,
    shm_permille_sum UInt64,
    shm_permille_max UInt32,
    bandwidth_in_bps_sum UInt64,
    bandwidth_out_bps_sum UInt64,
    streams_sum UInt64,
    streams_max UInt32,
    unhealthy UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant_id, node_id, bucket)
TTL bucket + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS periscope.health_5m_v AS SELECT * FROM periscope.health_5m FINAL;
CREATE VIEW IF NOT EXISTS periscope.lifecycle_5m_v AS SELECT * FROM periscope.lifecycle_5m FINAL;
CREATE VIEW IF NOT EXISTS periscope.viewers_5m_v AS SELECT * FROM periscope.viewers_5m FINAL;
CREATE VIEW IF NOT EXISTS periscope.peaks_5m_v AS SELECT * FROM periscope.peaks_5m FINAL;
CREATE VIEW IF NOT EXISTS periscope.nodes_5m_v AS SELECT * FROM periscope.nodes_5m FINAL;
