CREATE TABLE purser.suspensions (
    tenant_id    uuid PRIMARY KEY,
    reason       text NOT NULL,
    suspended_by text NOT NULL,
    suspended_at timestamptz NOT NULL
);
SELECT frameworks.tenant_table('purser.suspensions');
