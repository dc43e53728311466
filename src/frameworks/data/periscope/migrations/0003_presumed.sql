-- Ends that nobody told: a session or claim without a sign of life for hours is taken for closed. What was told wins.

ALTER TABLE periscope.viewer_sessions ADD COLUMN presumed_at timestamptz;
ALTER TABLE periscope.stream_analytics ADD COLUMN presumed_epoch bigint, ADD COLUMN presumed_at timestamptz;

-- What waits for roll-up lies beside the facts, in ClickHouse.
DROP TABLE periscope.dirty_buckets;
