"""Ranking: the reference numbers, a reason for every candidate, stable ties, reservations that spread load."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.media.foghorn.domain import (
    Fleet,
    NodeFacts,
    Position,
    Reason,
    StreamPresence,
    Wanted,
    Weights,
    distance_km,
    position,
    rank,
)

HERE = Position(52.0, 5.0)
LIVE = {"stream": StreamPresence(viewers=0, inputs=1, rate=100_000)}


def node(
    name: str,
    *,
    cluster: str = "c1",
    cpu: int = 0,
    memory: tuple[int, int] = (0, 100),
    up: int = 0,
    limit: int = 1_000_000,
    where: Position | None = None,
    capabilities: frozenset[str] = frozenset({"edge", "ingest"}),
    draining: bool = False,
    streams: dict[str, StreamPresence] | None = None,
) -> NodeFacts:
    return NodeFacts(
        name,
        cluster,
        "owner",
        cpu,
        memory[0],
        memory[1],
        up,
        limit,
        where,
        capabilities,
        draining,
        streams or {},
    )


def fleet(*facts: NodeFacts) -> Fleet:
    made = Fleet()
    for fact in facts:
        made.update(fact)
    return made


WATCH = Wanted("edge", frozenset({"c1"}), "stream", HERE)


def test_an_idle_node_beside_the_viewer_scores_everything() -> None:
    found = rank(fleet(node("a", where=HERE, streams=LIVE)), WATCH, Weights())
    assert found.scores[0] == 500 + 500 + 1000 + 1000 + 50


def test_each_term_follows_the_reference_formula() -> None:
    away = Position(-52.0, -175.0)
    facts = node("a", cpu=250, memory=(30, 100), up=250_000, where=away, streams=LIVE)
    found = rank(fleet(facts), WATCH, Weights())
    angle = distance_km(HERE, away) / 6371.0
    geo = math.floor(1000 - 1000 * angle / math.pi)
    assert found.scores[0] == 375 + 350 + 750 + geo + 50
    assert geo == 0


def test_an_unknown_position_leaves_the_geo_term_out() -> None:
    assert position(0, 0) is None
    assert position(91, 0) is None
    found = rank(fleet(node("a", streams=LIVE)), WATCH, Weights())
    assert found.scores[0] == 500 + 500 + 1000 + 50


def test_the_closest_of_equals_wins() -> None:
    near, far = (
        node("b", where=Position(51, 4), streams=LIVE),
        node("a", where=Position(1, 100), streams=LIVE),
    )
    made = fleet(far, near)
    found = rank(made, WATCH, Weights())
    assert [made.nodes[row] for row in found.best] == ["b", "a"]


def test_equal_scores_go_to_the_lower_node_id_whatever_the_order_of_arrival() -> None:
    made = fleet(*(node(name, streams=LIVE) for name in ("n3", "n1", "n2")))
    found = rank(made, WATCH, Weights())
    assert [made.nodes[row] for row in found.best] == ["n1", "n2", "n3"]


def test_every_candidate_has_its_reason() -> None:
    made = fleet(
        node("chosen", streams=LIVE),
        node("fallback", cpu=500, streams=LIVE),
        node("stale", streams=LIVE),
        node("draining", draining=True, streams=LIVE),
        node("ingest-only", capabilities=frozenset({"ingest"}), streams=LIVE),
        node("foreign", cluster="c2", streams=LIVE),
        node("empty"),
        node("full", up=1_000_000, streams=LIVE),
        node("unmeasured", memory=(0, 0), streams=LIVE),
        node("replica", streams={"stream": StreamPresence(0, 0, 0)}),
        node("filling", streams={"stream": StreamPresence(0, 1, 0, ready=False)}),
    )
    made.mark_stale("stale")
    found = rank(made, WATCH, Weights())
    reasons = {name: Reason(int(found.reasons[row])) for row, name in enumerate(made.nodes)}
    assert reasons == {
        "chosen": Reason.CHOSEN,
        "fallback": Reason.FALLBACK,
        "stale": Reason.STALE,
        "draining": Reason.DRAINING,
        "ingest-only": Reason.NOT_CAPABLE,
        "foreign": Reason.NOT_ENTITLED,
        "empty": Reason.NO_STREAM,
        "full": Reason.NO_BANDWIDTH,
        "unmeasured": Reason.UNMEASURED,
        "replica": Reason.NO_STREAM,
        "filling": Reason.NO_STREAM,
    }


def test_a_publisher_needs_no_stream() -> None:
    found = rank(fleet(node("a")), Wanted("ingest", frozenset({"c1"})), Weights())
    assert list(found.best) == [0]


def test_reservations_spread_a_burst_over_equal_nodes() -> None:
    made = fleet(*(node(f"n{n}", streams=LIVE, limit=125_000_000) for n in range(4)))
    taken: Counter[str] = Counter()
    for _ in range(100):
        chosen = made.nodes[int(rank(made, WATCH, Weights()).best[0])]
        made.reserve(chosen, made.viewer_rate(chosen, "stream"))
        taken[chosen] += 1
    assert max(taken.values()) - min(taken.values()) <= 2


def test_a_stale_node_comes_back_with_its_next_report() -> None:
    made = fleet(node("a", streams=LIVE))
    made.mark_stale("a")
    assert len(rank(made, WATCH, Weights()).best) == 0
    made.update(node("a", streams=LIVE))
    assert len(rank(made, WATCH, Weights()).best) == 1


def test_a_forgotten_node_takes_its_streams_along() -> None:
    made = fleet(node("a", streams=LIVE), node("b", streams=LIVE))
    made.reserve("b", 5.0)
    made.remove("a")
    assert dict(made.presence("stream")).keys() == {"b"}
    assert made.reserved[made.row("b")] == 5.0
    assert [made.nodes[row] for row in rank(made, WATCH, Weights()).best] == ["b"]


@pytest.mark.parametrize("used", [150, 10**18])
def test_more_used_than_there_is_counts_as_full_and_never_wraps(used: int) -> None:
    found = rank(fleet(node("a", memory=(used, 100), cpu=5000, streams=LIVE)), WATCH, Weights())
    assert found.scores[0] == 1000 + 50


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 100), st.integers(0, 1_200_000), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 8),
)
def test_the_best_are_the_highest_scores_and_none_of_them_is_refused(
    rows: list[tuple[int, int, int, bool]], count: int
) -> None:
    made = fleet(
        *(
            node(f"n{n:02}", cpu=cpu, memory=(used, 100), up=up, streams=LIVE if has else {})
            for n, (cpu, used, up, has) in enumerate(rows)
        )
    )
    found = rank(made, Wanted("edge", frozenset({"c1"}), "stream", HERE, count), Weights())
    expected = sorted(
        (row for row, (_, _, up, has) in enumerate(rows) if has and up < 1_000_000),
        key=lambda row: (-int(found.scores[row]), made.nodes[row]),
    )
    assert list(found.best) == expected[:count]
