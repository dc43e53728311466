"""One embedded event log for the whole test session."""

from collections.abc import AsyncIterator

import pytest

from frameworks.engines.nats import Nats
from frameworks.kit.eventlog import EventLog, connect

RESERVED = 1 << 40
"""Every topic reserves a gigabyte it never fills, and all tests together make more than the limit of a platform."""


@pytest.fixture(scope="session")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nats]:
    """A running nats-server; do not stop it, others use it."""
    server = Nats(tmp_path_factory.mktemp("nats"), store_limit=RESERVED)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
async def event_log(nats_server: Nats) -> AsyncIterator[EventLog]:
    """A connection to the session's event log; give your topics names of their own."""
    log = await connect(nats_server.url, name="tests")
    yield log
    await log.close()
