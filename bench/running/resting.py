"""An engine at rest, so that what is measured next is its own cost and not that of what was written before."""

import asyncio

from frameworks.kit.analytics import Analytics, Scope

LONGEST = 180.0


async def rest(store: Analytics, quiet: float = 5.0) -> None:
    """Wait until the engine has merged nothing for so many seconds, a few minutes at most."""
    sql = "SELECT count() AS running FROM system.merges"
    loop = asyncio.get_running_loop()
    began = since = loop.time()
    while loop.time() < began + LONGEST:
        if (await store.query(sql, {}, Scope.system("waits for merges")))[0]["running"]:
            since = loop.time()
        elif loop.time() >= since + quiet:
            return
        await asyncio.sleep(0.25)
