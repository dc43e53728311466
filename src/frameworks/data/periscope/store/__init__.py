"""The only SQL of Periscope: facts, buckets and history in ClickHouse, marks and current state in PostgreSQL."""
