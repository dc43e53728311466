"""Larger loads for every data plane, whose log and processes are all killed meanwhile; collected when asked for."""

from pathlib import Path
from random import Random

from same_answers import answered, differing, facts
from same_load import Load
from same_plane import LOGS, PROCESSES

from frameworks.kit.clock import SystemClock, micros


async def test_every_plane_answers_the_same_though_all_of_it_was_killed(tmp_path: Path, larger: int) -> None:
    load = Load(larger, micros(SystemClock().now()), tenants=3, claims=3, viewers=10)
    said = {
        (log, many): await answered(tmp_path / f"{log}-{many}", load, log, many, breaks=Random(larger))
        for log in LOGS
        for many in PROCESSES
    }
    first = said[LOGS[0], "one"]
    assert not [(plane, unlike) for plane, other in said.items() if (unlike := differing(first, other))]
    assert facts(first) == load.events
