"""Fan-out: one hub of watched tenants, a bounded memory of what each was told, and the ways to follow it."""
