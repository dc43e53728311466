-- How a migration declares a table: who may touch it, and how tenants are kept apart.
-- A table that is not declared is refused at the end of the migration.

CREATE TABLE frameworks.tables (
    schema text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tenant', 'directory', 'system', 'shared')),
    PRIMARY KEY (schema, name)
);

CREATE FUNCTION frameworks.declare_table(relation regclass, kind text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place record;
BEGIN
    SELECT n.nspname AS schema, c.relname AS name INTO place
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
    INSERT INTO frameworks.tables (schema, name, kind) VALUES (place.schema, place.name, declare_table.kind)
    ON CONFLICT ON CONSTRAINT tables_pkey DO UPDATE SET kind = excluded.kind;
    RETURN place.schema;
END
$$;

-- Row-level security, forced on the owner too: the app role sees and writes the rows of `app.tenant` only.
CREATE FUNCTION frameworks.fence(relation regclass, app_role text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    own_rows constant text := $own$tenant_id = nullif(current_setting('app.tenant', true), '')::uuid$own$;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = relation AND attname = 'tenant_id' AND atttypid = 'uuid'::regtype
            AND attnotnull AND NOT attisdropped
    ) THEN
        RAISE EXCEPTION '% needs a column tenant_id uuid NOT NULL', relation;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY tenant ON %s TO %I USING (%s) WITH CHECK (%s)', relation, app_role, own_rows, own_rows);
END
$$;

-- Rows of tenants: db.tenant(id) reads and writes that tenant's.
CREATE FUNCTION frameworks.tenant_table(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    app_role constant text := frameworks.declare_table(relation, 'tenant') || '_app';
BEGIN
    PERFORM frameworks.fence(relation, app_role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', relation, app_role);
END
$$;

-- Lookups that find the tenant: a tenant writes its own rows, db.directory() reads all.
CREATE FUNCTION frameworks.directory_table(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    service constant text := frameworks.declare_table(relation, 'directory');
BEGIN
    PERFORM frameworks.fence(relation, service || '_app');
    EXECUTE format('CREATE POLICY directory ON %s FOR SELECT TO %I USING (true)', relation, service || '_directory');
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', relation, service || '_app');
    EXECUTE format('GRANT SELECT ON %s TO %I', relation, service || '_directory');
END
$$;

-- Work across tenants (outboxes, job queues): a tenant's transaction adds rows, only db.system() sees them.
CREATE FUNCTION frameworks.system_table(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    service constant text := frameworks.declare_table(relation, 'system');
BEGIN
    EXECUTE format('GRANT INSERT ON %s TO %I', relation, service || '_app');
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', relation, service || '_system');
END
$$;

-- Rows of no tenant: db.tenant(…) and db.system() read and write all of them.
CREATE FUNCTION frameworks.shared_table(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    service constant text := frameworks.declare_table(relation, 'shared');
BEGIN
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I, %I', relation, service || '_app', service || '_system'
    );
END
$$;

-- A named tenant or directory table that jobs across tenants may read and write in db.system().
CREATE FUNCTION frameworks.system_access(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    system_role constant text := (
        SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
    ) || '_system';
BEGIN
    EXECUTE format('CREATE POLICY system ON %s TO %I USING (true) WITH CHECK (true)', relation, system_role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', relation, system_role);
END
$$;

-- Effects on other services, written in the transaction that causes them; `kit/outbox.py` delivers them.
-- `due_at` is when a row may be taken: later than now while it is leased or waits to be tried again.
CREATE FUNCTION frameworks.outbox_table(service text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($table$
        CREATE TABLE %I.outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            topic text NOT NULL,
            key text NOT NULL,
            payload bytea NOT NULL,
            headers jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            due_at timestamptz NOT NULL DEFAULT '-infinity',
            attempts integer NOT NULL DEFAULT 0,
            error text NOT NULL DEFAULT ''
        )$table$, service);
    EXECUTE format('CREATE INDEX outbox_key ON %I.outbox (topic, key, id)', service);
    PERFORM frameworks.system_table(format('%I.outbox', service)::regclass);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA frameworks FROM PUBLIC;
