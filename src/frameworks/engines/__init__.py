"""Supervisors of the embedded engines: PostgreSQL, NATS, the ClickHouse facade; Kafka on request."""
