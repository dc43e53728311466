"""Reports of processes in PostgreSQL: the latest of each, as long as they are of now."""

from fixtures_periscope import Periscope

from frameworks.data.periscope.service.processes import FORGOTTEN, Depth, Looped, Processes, Reader, Report
from frameworks.data.periscope.store.processes import PostgresProcesses
from frameworks.kit.clock import FakeClock

FULL = Report(
    id="here/app/1",
    process="app",
    modules=("decklog",),
    status="failing",
    loops=(Looped("decklog", "x", "failing", 2, "No log."),),
    readers=(Reader(topic="t", group="g", lag=2**40, reason="Waits."),),
    rates={"stored": 1.5},
    levels={"sockets": 3.0},
    nodes=(Depth("n", 1, 2),),
)


async def test_another_replica_finds_the_latest_report_of_each_process(periscope: Periscope) -> None:
    clock = FakeClock()
    one, two = (Processes(PostgresProcesses(periscope.database), clock) for _ in range(2))
    await one.report(Report(id=FULL.id, process="app", status="starting"))
    await clock.advance(2.0)
    await one.report(FULL)
    (found,) = await two.all()
    assert (found.loops, found.readers, found.rates) == (FULL.loops, FULL.readers, FULL.rates)
    assert (found.status, found.nodes) == ("failing", FULL.nodes)
    await clock.advance(FORGOTTEN / 1_000_000)
    assert await two.all() == []
    await one.report(Report(id="later", process="mist"))
    async with periscope.database.system() as c:
        assert await c.fetchval("SELECT count(*) FROM periscope.processes") == 1
