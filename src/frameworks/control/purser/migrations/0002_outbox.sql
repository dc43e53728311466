-- What other services must know of a change here.
SELECT frameworks.outbox_table('purser');
