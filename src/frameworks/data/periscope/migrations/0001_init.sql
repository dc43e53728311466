-- Current state, reduced from events so that order and repetition do not matter, and the buckets that wait for roll-up.

CREATE TABLE periscope.stream_analytics (
    tenant_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    claim_epoch bigint NOT NULL,
    state text NOT NULL,
    state_at timestamptz NOT NULL,
    state_event uuid NOT NULL,
    started_at timestamptz,
    node_id text NOT NULL,
    cluster_id text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    up_bytes numeric(20) NOT NULL,
    down_bytes numeric(20) NOT NULL,
    PRIMARY KEY (tenant_id, stream_id)
);
SELECT frameworks.tenant_table('periscope.stream_analytics');
SELECT frameworks.system_access('periscope.stream_analytics');

-- One row a viewer session, whichever of its two events came first; open while `disconnected_at` is null.
CREATE TABLE periscope.viewer_sessions (
    tenant_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    node_id text NOT NULL,
    session_id text NOT NULL,
    connected_at timestamptz,
    disconnected_at timestamptz,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream_id, node_id, session_id)
);
CREATE INDEX viewer_sessions_open ON periscope.viewer_sessions (tenant_id, stream_id)
    WHERE disconnected_at IS NULL;
CREATE INDEX viewer_sessions_seen ON periscope.viewer_sessions (seen_at);
SELECT frameworks.tenant_table('periscope.viewer_sessions');
SELECT frameworks.system_access('periscope.viewer_sessions');

-- `generation` grows with every mark: a roll-up removes the mark it saw, and no later one.
CREATE TABLE periscope.dirty_buckets (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    bucket timestamptz NOT NULL,
    generation bigint NOT NULL,
    marked_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, kind, subject, bucket)
);
CREATE INDEX dirty_buckets_marked ON periscope.dirty_buckets (kind, marked_at);
SELECT frameworks.system_table('periscope.dirty_buckets');

-- How far each reader of the log got; a reader says so every few seconds.
CREATE TABLE periscope.readers (
    topic text NOT NULL,
    reader text NOT NULL,
    instance text NOT NULL,
    lag bigint NOT NULL,
    last_error text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (topic, reader, instance)
);
SELECT frameworks.system_table('periscope.readers');
