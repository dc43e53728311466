"""Bridge's inbound side: identity, permissions, resolvers by domain, and the REST door to accounts."""
