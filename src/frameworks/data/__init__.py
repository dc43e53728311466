"""The data plane: every event once, durable, queryable, pushed to open sockets."""
