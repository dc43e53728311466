"""One embedded analytics engine for the whole test session."""

from collections.abc import AsyncIterator

import pytest

from frameworks.engines.clickhouse import ClickHouse
from frameworks.kit.analytics import Analytics, connect

LIMITS = ("--body-limit", str(16 * 1024**2), "--memory-limit", str(512 * 1024**2))


@pytest.fixture(scope="session")
async def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouse]:
    """A running engine; do not stop it, others use it. Make databases or tables of your own in it."""
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse"), options=LIMITS)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
async def analytics(clickhouse_server: ClickHouse) -> AsyncIterator[Analytics]:
    """A connection to the session's engine."""
    store = await connect(clickhouse_server.url)
    yield store
    await store.close()
