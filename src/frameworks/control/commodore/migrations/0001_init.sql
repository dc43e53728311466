-- What finds a tenant: hashes of e-mails, stream keys, links and refresh tokens; public ids of the rest.
CREATE TABLE commodore.directory (
    kind       text NOT NULL,
    value      text NOT NULL,
    tenant_id  uuid NOT NULL,
    subject    uuid NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (kind, value)
);
CREATE INDEX directory_subject ON commodore.directory (tenant_id, subject);
CREATE INDEX directory_expiry ON commodore.directory (expires_at) WHERE expires_at IS NOT NULL;
SELECT frameworks.directory_table('commodore.directory');
SELECT frameworks.system_access('commodore.directory');

-- Accounts ------------------------------------------------------------------------------------------
CREATE TABLE commodore.users (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    email         text NOT NULL,
    password_hash text NOT NULL,
    first_name    text NOT NULL DEFAULT '',
    last_name     text NOT NULL DEFAULT '',
    role          text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    operator      boolean NOT NULL DEFAULT false,
    verified      boolean NOT NULL DEFAULT false,
    active        boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL,
    deleted_at    timestamptz,
    PRIMARY KEY (tenant_id, id)
);
SELECT frameworks.tenant_table('commodore.users');

CREATE TABLE commodore.links (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    user_id    uuid NOT NULL,
    kind       text NOT NULL,
    token_hash text NOT NULL,
    new_email  text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX links_user ON commodore.links (tenant_id, user_id);
SELECT frameworks.tenant_table('commodore.links');
SELECT frameworks.system_access('commodore.links');

CREATE TABLE commodore.refresh_tokens (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    user_id    uuid NOT NULL,
    family     uuid NOT NULL,
    parent     uuid,
    token_hash text NOT NULL,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX refresh_tokens_family ON commodore.refresh_tokens (tenant_id, family);
CREATE INDEX refresh_tokens_parent ON commodore.refresh_tokens (tenant_id, parent);
CREATE INDEX refresh_tokens_user ON commodore.refresh_tokens (tenant_id, user_id);
SELECT frameworks.tenant_table('commodore.refresh_tokens');
SELECT frameworks.system_access('commodore.refresh_tokens');

CREATE TABLE commodore.api_tokens (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    user_id      uuid NOT NULL,
    name         text NOT NULL,
    secret_hash  text NOT NULL,
    scopes       text[] NOT NULL,
    last_used_at timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX api_tokens_order ON commodore.api_tokens (tenant_id, created_at DESC, id DESC);
SELECT frameworks.tenant_table('commodore.api_tokens');

-- Streams -------------------------------------------------------------------------------------------
CREATE TABLE commodore.streams (
    tenant_id         uuid NOT NULL,
    id                uuid NOT NULL,
    title             text NOT NULL,
    description       text NOT NULL DEFAULT '',
    playback_id       text NOT NULL,
    internal_name     text NOT NULL,
    recording_enabled boolean NOT NULL DEFAULT false,
    public            boolean NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    deleted_at        timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX streams_order ON commodore.streams (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
SELECT frameworks.tenant_table('commodore.streams');

CREATE TABLE commodore.stream_keys (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    stream_id    uuid NOT NULL,
    name         text NOT NULL,
    sealed       bytea NOT NULL,
    is_primary   boolean NOT NULL,
    active       boolean NOT NULL DEFAULT true,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX stream_keys_order ON commodore.stream_keys (tenant_id, stream_id, created_at DESC, id DESC);
SELECT frameworks.tenant_table('commodore.stream_keys');

-- Publishers ----------------------------------------------------------------------------------------
CREATE TABLE commodore.claims (
    tenant_id     uuid NOT NULL,
    stream_id     uuid NOT NULL,
    epoch         bigint NOT NULL,
    node_id       text NOT NULL,
    cluster_id    text NOT NULL,
    boot_id       text NOT NULL,
    connection_id text NOT NULL,
    key_id        uuid NOT NULL,
    trigger_id    text NOT NULL,
    recent        text[] NOT NULL DEFAULT '{}',
    held          boolean NOT NULL,
    admitted_at   timestamptz NOT NULL,
    last_media_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream_id)
);
CREATE INDEX claims_live ON commodore.claims (tenant_id, last_media_at) WHERE held;
SELECT frameworks.tenant_table('commodore.claims');

CREATE TABLE commodore.refused_ingests (
    tenant_id       uuid NOT NULL,
    id              uuid NOT NULL,
    stream_id       uuid NOT NULL,
    reason          text NOT NULL,
    message         text NOT NULL,
    protocol        text NOT NULL,
    node_id         text NOT NULL,
    key_fingerprint text NOT NULL,
    refused_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX refused_ingests_order ON commodore.refused_ingests (tenant_id, stream_id, refused_at DESC, id DESC);
SELECT frameworks.tenant_table('commodore.refused_ingests');

-- Across tenants --------------------------------------------------------------------------------------
CREATE TABLE commodore.spent_proofs (
    challenge  text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
SELECT frameworks.system_table('commodore.spent_proofs');

SELECT frameworks.outbox_table('commodore');
