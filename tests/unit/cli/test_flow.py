"""What a process reports: rates over the last seconds, its readers, its failing loops, its edge logs."""

from typing import Any

from frameworks.cli.flow import Rates, process_name, report_of
from frameworks.contracts.flow import LEVELS, RATES
from frameworks.contracts.metrics import commodore, decklog, delivery, helmsman, periscope, signalman
from frameworks.kit import metrics, rpc
from frameworks.kit.clock import FakeClock

READER = {
    "group": "periscope-ingest",
    "lag": 7,
    "worst_lag": 4,
    "worst_partition": 2,
    "last_error": "",
    "reason": "",
    "unclaimed": 0,
    "stored": 100,
}


def health(**facts: Any) -> dict[str, Any]:
    """What `/health` says."""
    loops = [
        {"module": "signalman", "loop": "follow", "state": "failing", "restarts": 2, "last_error": "No log."},
        {"module": "signalman", "loop": "end", "state": "running", "restarts": 0, "last_error": ""},
    ]
    return {"status": "failing", "loops": loops, "facts": facts}


async def test_rates_are_over_the_last_ten_seconds() -> None:
    clock = FakeClock()
    rates = Rates(clock)
    assert rates.of({"stored": 100.0}) == {"stored": 0.0}
    for _ in range(5):
        await clock.advance(2.0)
        found = rates.of({"stored": 150.0})
    assert found == {"stored": 5.0}
    await clock.advance(2.0)
    assert rates.of({"stored": 150.0}) == {"stored": 0.0}


async def test_a_report_has_what_the_process_counts() -> None:
    clock = FakeClock()
    rates = Rates(clock)
    edge = {"helmsman": {"node": "node-1", "wal_bytes": 5, "wal_limit": 9}, "foghorn": {"wal_bytes": 1}}
    report_of("data", ("decklog",), health(ingest={"t": READER}, **edge), rates)
    periscope.STORED.inc(20)
    await clock.advance(4.0)
    later = health(ingest={"t": READER | {"stored": 120}}, **edge)
    report = report_of("data", ("decklog",), later, rates)
    assert (report.rates["stored"], report.readers[0].per_second, report.readers[0].lag) == (5.0, 5.0, 7)
    assert [(loop.loop, loop.last_error) for loop in report.loops] == [("follow", "No log.")]
    assert [(depth.node, depth.bytes, depth.limit) for depth in report.nodes] == [
        ("node-1", 5, 9),
        ("foghorn", 1, 0),
    ]


def test_every_figure_comes_from_a_metric_that_exists() -> None:
    services = (commodore, decklog, delivery, helmsman, periscope, rpc, signalman)
    assert all(services)
    declared = {metric.name for metric in metrics.REGISTRY.collect()}
    wanted = {name.removesuffix("_total") for name in (*RATES.values(), *LEVELS.values())}
    assert wanted - declared == set()


def test_a_process_is_called_by_what_it_runs() -> None:
    assert process_name(("decklog", "signalman")) == "decklog+signalman"
    assert process_name(tuple(f"m{n}" for n in range(12))) == "app"
