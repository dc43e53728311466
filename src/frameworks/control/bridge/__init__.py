"""Bridge: the one GraphQL door. It authenticates, aggregates, limits and subscribes; it owns no data.

It promises the contract of the published SDK (schema/*.graphql) and typed errors with stable codes.
It refuses to guess a tenant: identity comes from a verified credential, or the call is public.
"""
