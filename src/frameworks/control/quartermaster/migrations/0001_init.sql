-- Tenants -----------------------------------------------------------------------------------------
CREATE TABLE quartermaster.tenants (
    tenant_id          uuid PRIMARY KEY,
    name               text NOT NULL,
    subdomain          text NOT NULL DEFAULT '',
    custom_domain      text NOT NULL DEFAULT '',
    logo_url           text NOT NULL DEFAULT '',
    primary_color      text NOT NULL DEFAULT '#6366f1',
    secondary_color    text NOT NULL DEFAULT '#f59e0b',
    deployment_tier    text NOT NULL DEFAULT 'global-shared',
    deployment_model   text NOT NULL DEFAULT 'shared',
    primary_cluster_id text NOT NULL DEFAULT '',
    active             boolean NOT NULL DEFAULT true,
    operator           boolean NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
);
SELECT frameworks.tenant_table('quartermaster.tenants');

-- What finds a tenant: idempotency keys and enrolment tokens (hashes), subdomains, domains, cluster and node ids.
CREATE TABLE quartermaster.directory (
    kind      text NOT NULL,
    value     text NOT NULL,
    tenant_id uuid NOT NULL,
    PRIMARY KEY (kind, value)
);
CREATE INDEX directory_tenant ON quartermaster.directory (tenant_id, kind);
SELECT frameworks.directory_table('quartermaster.directory');

-- Clusters: the shared one is seen by all, a private one by its owner and those with access ---------
CREATE TABLE quartermaster.clusters (
    id                text PRIMARY KEY,
    name              text NOT NULL,
    type              text NOT NULL,
    owner_tenant_id   uuid NOT NULL,
    deployment_model  text NOT NULL,
    base_url          text NOT NULL DEFAULT '',
    region            text NOT NULL DEFAULT '',
    default_cluster   boolean NOT NULL DEFAULT false,
    visibility        text NOT NULL DEFAULT 'private',
    health            text NOT NULL DEFAULT 'unhealthy',
    max_streams       integer NOT NULL DEFAULT 0,
    max_viewers       integer NOT NULL DEFAULT 0,
    max_bandwidth_bps bigint NOT NULL DEFAULT 0,
    active            boolean NOT NULL DEFAULT true,
    short_description text NOT NULL DEFAULT '',
    node_count        integer NOT NULL DEFAULT 0,
    healthy_nodes     integer NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL
);
CREATE INDEX clusters_order ON quartermaster.clusters (created_at DESC, id DESC);
CREATE INDEX clusters_owner ON quartermaster.clusters (owner_tenant_id);
SELECT frameworks.shared_table('quartermaster.clusters');

CREATE TABLE quartermaster.cluster_access (
    tenant_id    uuid NOT NULL,
    cluster_id   text NOT NULL,
    access_level text NOT NULL,
    priority     integer NOT NULL,
    granted_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    PRIMARY KEY (tenant_id, cluster_id)
);
SELECT frameworks.tenant_table('quartermaster.cluster_access');

-- Nodes belong to the tenant that owns their cluster -----------------------------------------------
CREATE TABLE quartermaster.nodes (
    tenant_id         uuid NOT NULL,
    id                text NOT NULL,
    name              text NOT NULL,
    cluster_id        text NOT NULL,
    public_key        text NOT NULL,
    type              text NOT NULL DEFAULT 'media',
    status            text NOT NULL DEFAULT 'enrolled',
    region            text NOT NULL DEFAULT '',
    base_url          text NOT NULL DEFAULT '',
    rtmp_url          text NOT NULL DEFAULT '',
    latitude          double precision NOT NULL DEFAULT 0,
    longitude         double precision NOT NULL DEFAULT 0,
    cpu_cores         integer NOT NULL DEFAULT 0,
    memory_bytes      bigint NOT NULL DEFAULT 0,
    disk_bytes        bigint NOT NULL DEFAULT 0,
    version           text NOT NULL DEFAULT '',
    capabilities      text[] NOT NULL DEFAULT '{}',
    last_heartbeat_at timestamptz,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX nodes_order ON quartermaster.nodes (tenant_id, created_at DESC, id DESC);
CREATE INDEX nodes_cluster ON quartermaster.nodes (tenant_id, cluster_id);
SELECT frameworks.tenant_table('quartermaster.nodes');

CREATE TABLE quartermaster.enrollment_tokens (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    token_hash text NOT NULL,
    cluster_id text NOT NULL,
    name       text NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    used_at    timestamptz,
    node_id    text NOT NULL DEFAULT '',
    public_key text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, token_hash)
);
SELECT frameworks.tenant_table('quartermaster.enrollment_tokens');

-- Services: no tenant's data ------------------------------------------------------------------------
CREATE TABLE quartermaster.service_instances (
    id           text PRIMARY KEY,
    service      text NOT NULL,
    cluster_id   text NOT NULL,
    node_id      text NOT NULL DEFAULT '',
    address      text NOT NULL DEFAULT '',
    protocol     text NOT NULL DEFAULT 'grpc',
    port         integer NOT NULL DEFAULT 0,
    status       text NOT NULL,
    health       text NOT NULL,
    version      text NOT NULL DEFAULT '',
    started_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
);
CREATE INDEX service_instances_order ON quartermaster.service_instances (started_at DESC, id DESC);
SELECT frameworks.shared_table('quartermaster.service_instances');
