"""One load, sent once to each data plane: on either event log, in however many processes, it answers the same."""

import asyncio
from pathlib import Path

from same_answers import answered, differing, facts
from same_load import Load
from same_plane import LOGS

from frameworks.kit.clock import SystemClock, micros

TWO = ((LOGS[0], "five"), (LOGS[-1], "one"))


async def test_one_log_in_five_processes_answers_as_another_in_one(tmp_path: Path) -> None:
    load = Load(1, micros(SystemClock().now()), tenants=2, claims=2, viewers=6)
    one, other = await asyncio.gather(
        *(answered(tmp_path / f"{log}-{many}", load, log, many) for log, many in TWO)
    )
    assert differing(one, other) == []
    assert facts(one) == load.events
