"""What any product could use: modules, host, rpc, http, sql, event log, tokens, errors, clock, config, logs."""
