"""The proof, read from PostgreSQL's own catalogue, that a service's schema keeps tenants apart."""

from typing import Any

OWN_ROWS = "(tenant_id = (NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid)"

_TABLES = """
SELECT c.relname AS name, t.kind, c.relrowsecurity AND c.relforcerowsecurity AS forced,
    EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    ) AS has_tenant
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN frameworks.tables t ON t.schema = n.nspname AND t.name = c.relname
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
ORDER BY c.relname
"""
_POLICIES = """
SELECT tablename, policyname, permissive, roles, cmd, qual, with_check FROM pg_policies WHERE schemaname = $1
"""
_GRANTS = """
SELECT c.relname AS name, c.relkind::text, c.relispartition, coalesce(r.rolname, 'PUBLIC') AS role,
    acl.privilege_type AS privilege, coalesce(c.reloptions @> '{security_invoker=true}', false) AS invoker
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) acl LEFT JOIN pg_roles r ON r.oid = acl.grantee
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND acl.grantee <> c.relowner
"""
_DEFINERS = """
SELECT p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = $1 AND p.prosecdef
"""
_POWERS = """
SELECT rolname AS name FROM pg_roles
WHERE rolname = ANY($1) AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolinherit AND rolcanlogin)
"""
_ORDINARY = {"SELECT", "INSERT", "UPDATE", "DELETE"}


async def fence_violations(connection: Any, schema: str) -> list[str]:
    """Each way in which `schema` could show a tenant another's rows, as a sentence; empty if none."""
    tables = await connection.fetch(_TABLES, schema)
    kinds = {row["name"]: row["kind"] for row in tables}
    policies = await connection.fetch(_POLICIES, schema)
    tenant_policies = {row["tablename"]: row for row in policies if row["policyname"] == "tenant"}
    faults = [(row["name"], _table_fault(schema, row, tenant_policies.get(row["name"]))) for row in tables]
    faults += [(row["tablename"], _policy_fault(schema, row, kinds)) for row in policies]
    for row in await connection.fetch(_GRANTS, schema):
        faults.append((row["name"], _grant_fault(schema, row, kinds)))
    faults += [
        (row["name"], "() runs with its owner's rights") for row in await connection.fetch(_DEFINERS, schema)
    ]
    roles = [f"{schema}_{suffix}" for suffix in ("login", "app", "directory", "system")]
    found = [f"the role {row['name']} may do too much" for row in await connection.fetch(_POWERS, roles)]
    return found + [f"{schema}.{name} {fault}" for name, fault in faults if fault]


def _table_fault(schema: str, table: Any, policy: Any | None) -> str:
    match table["kind"]:
        case None:
            return "is not declared: call frameworks.tenant_table, directory_, system_ or shared_table"
        case "shared":
            return "is declared shared but has a tenant_id" if table["has_tenant"] else ""
        case "system":
            return ""
    fenced = (
        table["forced"]
        and policy is not None
        and (policy["cmd"], policy["qual"], policy["with_check"]) == ("ALL", OWN_ROWS, OWN_ROWS)
        and list(policy["roles"]) == [f"{schema}_app"]
    )
    return "" if fenced else "has no forced row-level security by tenant_id"


def _policy_fault(schema: str, policy: Any, kinds: dict[str, str]) -> str:
    """Only the declarations make policies, each for its own role."""
    roles = {"tenant": "app", "system": "system"}
    if kinds.get(policy["tablename"]) == "directory":
        roles["directory"] = "directory"
    role = roles.get(policy["policyname"])
    known = role is not None and list(policy["roles"]) == [f"{schema}_{role}"]
    return "" if known else f"has an undeclared policy {policy['policyname']}"


def _grant_fault(schema: str, grant: Any, kinds: dict[str, str]) -> str:
    role, privilege, kind = grant["role"], grant["privilege"], kinds.get(grant["name"])
    if role not in {f"{schema}_app", f"{schema}_directory", f"{schema}_system"}:
        return f"grants {privilege} to {role}"
    if privilege not in _ORDINARY:
        return f"grants {privilege}, which row-level security does not watch, to {role}"
    if grant["relkind"] == "m" or (grant["relkind"] == "v" and not grant["invoker"]):
        return f"shows {role} rows with its owner's rights: make it a view with security_invoker = true"
    if grant["relispartition"]:
        return f"is a partition and grants {privilege} to {role}, past the policy of its parent"
    if kind == "system" and role == f"{schema}_app" and privilege != "INSERT":
        return f"holds every tenant's rows and grants {privilege} to {role}"
    return ""
