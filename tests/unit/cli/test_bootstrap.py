"""The first tenant and node are made as soon as services can be reached."""

import asyncio

import pytest

from frameworks.cli.bootstrap import AGAIN, PATIENCE, patiently
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable


class Away(Unavailable):
    """Nobody is there yet."""

    code = "test.away"


class Service:
    """Answers after some attempts."""

    def __init__(self, refusals: float) -> None:
        self.attempts, self._refusals = 0, refusals

    async def ask(self) -> str:
        """An answer, or Away."""
        self.attempts += 1
        if self.attempts <= self._refusals:
            raise Away("It can not be reached.")
        return "here"


async def told(service: Service, clock: FakeClock) -> str:
    """The answer, while time passes."""
    asking = asyncio.create_task(patiently(service.ask, clock))
    while not asking.done():
        await asyncio.sleep(0)
        await clock.advance(AGAIN)
    return await asking


async def test_a_service_that_is_only_starting_is_waited_for() -> None:
    service = Service(refusals=3)
    assert await told(service, FakeClock()) == "here"
    assert service.attempts == 4


async def test_one_that_stays_away_is_said_to_be() -> None:
    service, clock = Service(refusals=float("inf")), FakeClock()
    began = clock.monotonic()
    with pytest.raises(Away):
        await told(service, clock)
    assert PATIENCE < clock.monotonic() - began < 2 * PATIENCE
