"""Which days a rebuild computes, together or alone, and what it replaces."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from frameworks.data.periscope.domain import DAY, FROM_FACTS, Kind, Mark
from frameworks.data.periscope.service.closing import Closer, SilentClaim, SilentSession
from frameworks.data.periscope.service.ingest import NoState
from frameworks.data.periscope.service.rebuild import AT_ONCE, Compared, Part, Rebuild, together
from frameworks.data.periscope.service.roll_up import Alone, Dirty, RollUp

FIRST = 20_000 * DAY
WHOLE = Part(Kind.HEALTH, None, FIRST, FIRST + 30 * DAY)


class Nothing:
    """Nothing waits, nothing is silent."""

    async def silent(self) -> tuple[Sequence[Mark], int]:
        return [], 0

    async def presumed(self, since: int) -> tuple[Sequence[SilentSession], Sequence[SilentClaim]]:
        return [], []

    async def mark(self, dirty: Collection[Mark]) -> None:
        assert not dirty

    async def oldest(self, kinds: Collection[Kind], limit: int) -> Dirty:
        return Dirty([], 0)

    async def done(self, marks: Sequence[Mark], read_at: int) -> None:
        assert not marks

    async def recompute(self, kind: Kind, dirty: Sequence[Mark]) -> None:
        assert not dirty


@dataclass
class Remembering:
    """Shadows that remember what was done to them."""

    facts: Mapping[Kind, Mapping[int, int]]
    wrong: frozenset[Kind] = frozenset()
    computed: list[Part] = field(default_factory=list)
    replaced: list[Kind] = field(default_factory=list)
    standing: bool = False

    async def open(self) -> int:
        self.standing = True
        return 1

    async def days(self, whole: Part) -> Mapping[int, int]:
        assert whole.kind in FROM_FACTS
        return self.facts.get(whole.kind, {})

    async def compute(self, part: Part) -> None:
        self.computed.append(part)

    async def compare(self, part: Part, began: int) -> Sequence[Compared]:
        return [Compared(part.kind.value, 1, 0, int(part.kind in self.wrong), [])]

    async def replace(self, part: Part, began: int) -> None:
        self.replaced.append(part.kind)

    async def close(self) -> None:
        self.standing = False


def rebuild(shadows: Remembering) -> Rebuild:
    """A rebuild where nothing else happens."""
    nothing = Nothing()
    closer = Closer(nothing, nothing, RollUp(nothing, nothing, Alone()), NoState())
    return Rebuild(shadows, closer, lambda *_: None)


def days(*numbers: int, facts: int = 1) -> dict[int, int]:
    """Days of the whole with facts."""
    return {FIRST + number * DAY: facts for number in numbers}


def part(first: int, last: int, kind: Kind = Kind.HEALTH) -> Part:
    return Part(kind, None, FIRST + first * DAY, FIRST + last * DAY)


def test_quiet_days_are_computed_together() -> None:
    assert [*together(WHOLE, days(3, 4, 9))] == [part(3, 10)]


def test_busy_days_are_computed_alone() -> None:
    assert [*together(WHOLE, days(3, 4, 9, facts=AT_ONCE))] == [part(3, 4), part(4, 5), part(9, 10)]


def test_days_outside_the_range_are_not_computed() -> None:
    assert not [*together(WHOLE, days(-1, 30))]


def test_each_day_of_sessions_is_computed_alone() -> None:
    whole = part(0, 30, Kind.SESSIONS)
    assert [*together(whole, days(3, 4))] == [part(3, 4, Kind.SESSIONS), part(4, 5, Kind.SESSIONS)]


@given(st.dictionaries(st.integers(0, 29), st.integers(1, AT_ONCE), max_size=30))
def test_every_day_with_facts_is_computed_once_and_no_more_than_fits_at_once(held: dict[int, int]) -> None:
    parts = [*together(WHOLE, {FIRST + number * DAY: facts for number, facts in held.items()})]
    inside = [[n for n in held if p.first <= FIRST + n * DAY < p.last] for p in parts]
    assert sorted(n for numbers in inside for n in numbers) == sorted(held)
    assert all(sum(held[n] for n in numbers) <= AT_ONCE for numbers in inside)


async def test_only_kinds_with_facts_are_computed_and_their_hours_and_days_after_them() -> None:
    now = FIRST + 20 * DAY
    shadows = Remembering({Kind.NODES: {FIRST + 19 * DAY: 5}})
    await rebuild(shadows).run(None, None, now, replace=True)
    assert [one.kind for one in shadows.computed] == [Kind.NODES, Kind.NODES_1H, Kind.NODES_1D]
    assert {(one.first, one.last) for one in shadows.computed} == {(FIRST + 19 * DAY, FIRST + 20 * DAY)}
    assert not shadows.replaced
    assert not shadows.standing


async def test_what_differs_is_replaced_only_when_asked_for() -> None:
    shadows = Remembering({}, wrong=frozenset({Kind.VIEWERS}))
    found = await rebuild(shadows).run(None, None, FIRST, replace=False)
    assert [one.table for one in found if one.differing] == ["viewers"]
    assert not shadows.replaced
    await rebuild(shadows).run(None, None, FIRST, replace=True)
    assert shadows.replaced == [Kind.VIEWERS]
