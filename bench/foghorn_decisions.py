"""Claim: Foghorn decides 10,000 times a second on one core among 1,000 nodes.

A decision filters, scores and ranks all nodes, takes the best five, has a reason for every candidate and reserves
bandwidth on the chosen one; one node reports anew every 1,000 decisions. The limit, measured in the same run, is the
score's arithmetic alone over the same columns in numpy: no reasons, no top five, no reservation.

    python bench/foghorn_decisions.py
"""

import random
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from frameworks.media.foghorn.domain import Fleet, NodeFacts, Position, StreamPresence, Wanted, Weights, rank

NODES = 1_000
DECISIONS = 4_000
ROUNDS = 5
CHANGE_EVERY = 1_000
PER_SECOND = 10_000
WANTED = Wanted("edge", frozenset({"c0", "c1", "c2"}), "stream", Position(52.0, 5.0))


def node(number: int, dice: random.Random) -> NodeFacts:
    """One node somewhere, somewhat busy, carrying the stream."""
    return NodeFacts(
        node=f"node-{number:04}",
        cluster=f"c{number % 5}",
        owner="owner",
        cpu_permille=dice.randrange(900),
        memory_used=dice.randrange(8 << 30),
        memory_total=8 << 30,
        up=dice.randrange(60 << 20),
        limit=125 << 20,
        where=Position(dice.uniform(-80, 80), dice.uniform(-179, 179)),
        capabilities=frozenset({"edge", "ingest"}),
        streams={"stream": StreamPresence(1, 1, 200_000)},
    )


def per_second(once: Callable[[int], object]) -> float:
    """How often a second of processor time `once` runs, median of the rounds."""
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in range(DECISIONS):
            once(number)
        rates.append(DECISIONS / (time.process_time() - began))
    return statistics.median(rates)


def main() -> int:
    """Print decisions and limit; exit code 1 when the claim does not hold."""
    dice = random.Random(1)
    fleet, weights = Fleet(), Weights()
    for number in range(NODES):
        fleet.update(node(number, dice))

    def decide(number: int) -> None:
        if number % CHANGE_EVERY == 0:
            fleet.update(node(number % NODES, dice))
        chosen = fleet.nodes[int(rank(fleet, WANTED, weights).best[0])]
        fleet.reserve(chosen, fleet.viewer_rate(chosen, "stream"))

    columns, where = fleet.columns(), Position(52.0, 5.0).unit()

    def arithmetic(_: int) -> object:
        load = 1 - (columns.up + fleet.reserved) / columns.limit
        angle = np.arccos(np.clip(where @ columns.unit, -1.0, 1.0))
        return columns.idle[0] * 500 + columns.idle[1] * 500 + load * 1000 + (1 - angle / np.pi) * 1000

    decisions, limit = per_second(decide), per_second(arithmetic)
    kept = decisions >= PER_SECOND
    print(f"nodes                     {NODES:10,}")
    print(
        f"decisions/s of one core   {decisions:10,.0f}   claim {PER_SECOND:,}: {'holds' if kept else 'DOES NOT HOLD'}"
    )
    print(f"bare arithmetic/s         {limit:10,.0f}   {decisions / limit:.2f} of it")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
