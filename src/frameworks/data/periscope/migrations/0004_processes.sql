-- What each process says of itself every two seconds: its readers' lags, rates, failing loops. Losing it costs nothing.

CREATE UNLOGGED TABLE periscope.processes (
    id text PRIMARY KEY,
    report bytea NOT NULL,
    seen_at timestamptz NOT NULL
);
SELECT frameworks.system_table('periscope.processes');

DROP TABLE periscope.readers;
