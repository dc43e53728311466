"""The row policies shipped for operators cover every tenant table that holds rows."""

from frameworks.data.periscope.store.tables import BUCKETS, FACTS, HOURS_AND_DAYS, SESSIONS
from frameworks.kit.clickhouse_sql import Sort, tokens
from tools.row_policies import PAGE, kept, page


def test_the_file_is_what_the_tables_give() -> None:
    assert PAGE.read_text() == page()


def test_every_table_that_keeps_tenants_rows_has_both_policies() -> None:
    tables = {f"periscope.{name}" for name in (*FACTS, *BUCKETS, *HOURS_AND_DAYS, *SESSIONS)}
    assert {table.name for table in kept()} == tables
    for table in tables:
        assert f"frameworks_tenant ON {table}\n" in page()
        assert f"frameworks_others ON {table}\n" in page()


def test_the_file_says_that_it_was_not_verified_and_reads_as_statements() -> None:
    assert "NOT VERIFIED HERE" in page()
    semicolons = sum(token.sort is Sort.SIGN and token.text == ";" for token in tokens(page()))
    assert semicolons == 1 + 4 * len(kept())
