-- What Quartermaster tells others of, written in the transaction that causes it.
SELECT frameworks.outbox_table('quartermaster');
