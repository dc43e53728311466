"""Two deployments under the same tests: one process for all services, and a process for each."""

from collections.abc import AsyncIterator

import pytest
from fixtures_platform import SOON, Platform, start_platform
from flow_processes import apart

PLANS = SOON | {"PURSER_FREE_MAX_VIEWERS": "3", "PURSER_FREE_MAX_INGEST_KBPS": "3000"}
"""Small enough that a test can reach it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that does not say where it runs, runs against `frameworks up`."""
    marks = metafunc.definition.iter_markers("parametrize")
    if "platform" in metafunc.fixturenames and not any(mark.args[0] == "platform" for mark in marks):
        metafunc.parametrize("platform", ["together"], indirect=True, scope="session")


@pytest.fixture(scope="session")
async def platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """The deployment the tests ask for, started once for all of them."""
    data = tmp_path_factory.mktemp(request.param) / "data"
    if request.param == "apart":
        async with apart(data, env=PLANS) as running:
            yield running
    else:
        started = start_platform(data, env=PLANS)
        yield started
        started.stop()
