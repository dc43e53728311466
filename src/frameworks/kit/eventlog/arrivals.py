"""Waiting for records that something else puts into a buffer."""

import asyncio
from collections.abc import Callable

from frameworks.kit.eventlog import Record


async def wait_for_records(
    take: Callable[[], list[Record]], arrived: asyncio.Event, timeout: float
) -> list[Record]:
    """What `take` gives, waiting for `arrived` until there is something or the time is up."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                arrived.clear()
                if records := take():
                    return records
                await arrived.wait()
    except TimeoutError:
        return []
