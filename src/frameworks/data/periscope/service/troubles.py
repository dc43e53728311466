"""What is wrong with the flow of events, worst first, each with the box it belongs to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from frameworks.contracts.flow import ENGINES, PLACES, Trouble, away
from frameworks.data.periscope.domain import SECOND
from frameworks.data.periscope.service.processes import Reader, Report

BEHIND = 10_000
"""Records a partition may be behind before it is worth a word."""
ROLL_UP_WITHIN = 600 * SECOND
EDGE_LOG = 0.1
"""Share of an edge's log that may wait."""
EXPECTED = ("decklog", "periscope-ingest", "signalman")


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to judge; `away` has code and reason of engines that do not answer."""

    at: int
    away: Mapping[str, tuple[str, str]]
    fresh: Sequence[Report]
    silent: Sequence[Report]
    topics: Sequence[Reader]
    dead_letters: int
    unclaimed: int
    oldest_dirty_at: int


def troubles(seen: Seen) -> list[Trouble]:
    """Everything wrong, broken things before warnings."""
    found = [*_engines(seen), *_processes(seen), *_readers(seen), *_edges(seen), *_leftovers(seen)]
    return sorted(found, key=lambda trouble: not trouble.broken)


def missed(fresh: Sequence[Report], silent: Sequence[Report]) -> list[Report]:
    """The silent processes whose work nobody else does: not the predecessor of one that was started again."""
    running = _modules(fresh)
    return [report for report in silent if not running.issuperset(report.modules)]


def _modules(reports: Sequence[Report]) -> set[str]:
    return {module for report in reports for module in report.modules}


def _engines(seen: Seen) -> Iterator[Trouble]:
    for engine in ENGINES:
        if engine in seen.away:
            code, reason = seen.away[engine]
            yield Trouble(engine, code, away(engine, reason))


def _processes(seen: Seen) -> Iterator[Trouble]:
    for report in missed(seen.fresh, seen.silent):
        gone = [module for module in report.modules if module not in _modules(seen.fresh)]
        seconds = (seen.at - report.reported_at) // SECOND
        yield Trouble(
            PLACES.get(gone[0], "control"),
            "flow.silent",
            f"The process {report.process} has not reported for {seconds} s: it was stopped, or Periscope is out "
            "of its reach.",
        )
    told = _modules([*seen.fresh, *seen.silent])
    for module in EXPECTED if seen.fresh else ():
        if module not in told:
            yield Trouble(PLACES[module], "flow.silent", f"No process reports that it runs {module}.")
    for report in seen.fresh:
        for loop in report.loops:
            yield Trouble(
                PLACES.get(loop.module, "control"),
                "flow.loop_failing",
                f"{loop.module} in {report.process}: the loop {loop.loop} fails, restarted {loop.restarts} times: "
                f"{loop.last_error}",
            )


def _readers(seen: Seen) -> Iterator[Trouble]:
    for reader in seen.topics:
        if reader.last_error:
            yield Trouble(
                _box(reader),
                reader.last_error,
                f"The reader {reader.group} of {reader.topic} waits: {reader.reason}",
            )
        elif reader.worst_lag > BEHIND:
            yield Trouble(
                _box(reader),
                "flow.behind",
                f"The reader {reader.group} is {reader.worst_lag} records behind in partition "
                f"{reader.worst_partition} of {reader.topic}.",
                broken=False,
            )


def _box(reader: Reader) -> str:
    return "signalman" if reader.group == "signalman" else "ingest"


def _edges(seen: Seen) -> Iterator[Trouble]:
    for report in seen.fresh:
        if "helmsman" in report.modules and report.levels.get("node_answers", 1.0) < 1.0:
            yield Trouble("node", "flow.node_silent", f"The media node of {report.process} does not answer.")
        for depth in report.nodes:
            if depth.limit and depth.bytes > EDGE_LOG * depth.limit:
                yield Trouble(
                    "node",
                    "flow.edge_log",
                    f"{depth.bytes / 1e6:.1f} MB of events of {depth.node} wait for Decklog, "
                    f"{depth.bytes / depth.limit:.0%} of what its log takes.",
                    broken=depth.bytes > depth.limit / 2,
                )


def _leftovers(seen: Seen) -> Iterator[Trouble]:
    if seen.dead_letters:
        yield Trouble(
            "eventlog",
            "flow.dead_letters",
            f"{seen.dead_letters} frames that no one could read lie in dead_letters.",
            broken=False,
        )
    if seen.unclaimed:
        yield Trouble(
            "ingest",
            "flow.unclaimed",
            f"{seen.unclaimed} events are of types that no table claims.",
            broken=False,
        )
    waiting = seen.at - seen.oldest_dirty_at
    if seen.oldest_dirty_at and waiting > ROLL_UP_WITHIN:
        yield Trouble(
            "clickhouse",
            "flow.roll_up_behind",
            f"A bucket has waited for its roll-up for {waiting // (60 * SECOND)} minutes.",
            broken=False,
        )
