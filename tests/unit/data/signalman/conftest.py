"""The place of sockets, under the name its tests use."""

import pytest
from fixtures_sockets import Place


@pytest.fixture
async def place(socket_place: Place) -> Place:
    """A replica with small limits, listening."""
    return socket_place
