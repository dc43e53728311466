-- What was used, for billing: windows that wait to be measured, what was said of each, and how far everything is.

SELECT frameworks.outbox_table('periscope');

-- `generation` grows with every mark: who measured a window removes the mark it saw, and no later one.
CREATE TABLE periscope.usage_waiting (
    tenant_id uuid NOT NULL,
    cluster_id text NOT NULL,
    window_at timestamptz NOT NULL,
    generation bigint NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, window_at)
);
CREATE INDEX usage_waiting_oldest ON periscope.usage_waiting (cluster_id, window_at);
SELECT frameworks.system_table('periscope.usage_waiting');

-- The sum of the records said of a window, and their number.
CREATE TABLE periscope.usage_said (
    tenant_id uuid NOT NULL,
    cluster_id text NOT NULL,
    window_at timestamptz NOT NULL,
    records integer NOT NULL,
    amounts jsonb NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id, window_at)
);
CREATE INDEX usage_said_window ON periscope.usage_said (cluster_id, window_at);
SELECT frameworks.system_table('periscope.usage_said');

CREATE TABLE periscope.usage_sequences (
    tenant_id uuid NOT NULL,
    cluster_id text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (tenant_id, cluster_id)
);
SELECT frameworks.system_table('periscope.usage_sequences');

-- A cluster is complete from the window it was first heard of in until `complete_until`.
CREATE TABLE periscope.usage_clusters (
    cluster_id text PRIMARY KEY,
    complete_until timestamptz NOT NULL,
    sequence bigint NOT NULL
);
SELECT frameworks.system_table('periscope.usage_clusters');

-- Until when, by its own clock, what a node recorded is stored (`reached_at`), and when the log last heard of it.
-- What it said last (`said_at`, appended at `appended_at`) counts once every partition is stored up to there: what the
-- node recorded before may lie in any of them.
CREATE TABLE periscope.usage_nodes (
    cluster_id text NOT NULL,
    node_id text NOT NULL,
    reached_at timestamptz NOT NULL,
    said_at timestamptz NOT NULL,
    appended_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (cluster_id, node_id)
);
SELECT frameworks.system_table('periscope.usage_nodes');

-- Until when everything appended to a partition of the log is stored.
CREATE TABLE periscope.usage_partitions (
    topic text NOT NULL,
    partition integer NOT NULL,
    reached_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);
SELECT frameworks.system_table('periscope.usage_partitions');

-- The one row whose lock is the right to publish; its number fences: who holds it says a higher one than all before.
CREATE TABLE periscope.usage_turn (
    one boolean PRIMARY KEY CHECK (one),
    turn bigint NOT NULL,
    holder text NOT NULL
);
SELECT frameworks.system_table('periscope.usage_turn');
INSERT INTO periscope.usage_turn (one, turn, holder) VALUES (true, 0, '');
