"""What players tell with their requests: kept by sort, told once, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.clock import FakeClock
from frameworks.media.mist.hub import sayings
from frameworks.media.mist.hub.sayings import LONGEST, MOST_AT_ONCE, MOST_OF_A_SESSION, Sayings, sort_of


class Ear:
    """Sayings, and why some were dropped."""

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.clock = FakeClock()
        self.sayings = Sayings(self.clock, self.dropped.append)

    def texts(self, after: int = 0) -> list[tuple[str, str]]:
        """Who said what."""
        return [(saying.session, saying.text) for saying in self.sayings.after(after)]


def test_the_first_and_the_newest_of_each_sort_are_kept() -> None:
    ear = Ear()
    for number in range(5):
        ear.sayings.note("s", f"ot=v,br={number}")
    ear.sayings.note("s", "ot=a,br=1")
    ear.sayings.note("s", "ot=v,bs,br=9")
    ear.sayings.note("s", "ot=v,br=5")
    assert ear.texts() == [
        *(("s", "ot=v,br=0"), ("s", "ot=a,br=1")),
        *(("s", "ot=v,bs,br=9"), ("s", "ot=v,br=5")),
    ]


def test_what_its_asker_has_is_not_told_again() -> None:
    ear = Ear()
    ear.sayings.note("s", "ot=v")
    (first,) = ear.sayings.after(0)
    assert ear.texts() == [("s", "ot=v")]
    ear.sayings.note("t", "ot=v")
    assert ear.texts(first.number) == [("t", "ot=v")]
    assert ear.texts(first.number + 1) == []


async def test_a_report_has_the_time_of_its_request() -> None:
    ear = Ear()
    ear.sayings.note("s", "ot=v")
    await ear.clock.advance(1.5)
    ear.sayings.note("s", "ot=a")
    one, two = ear.sayings.after(0)
    assert two.unix_ms - one.unix_ms == 1500


def test_one_session_has_its_share_and_no_more() -> None:
    ear = Ear()
    for number in range(MOST_OF_A_SESSION + 3):
        ear.sayings.note("s", f"ot={chr(65 + number)}")
    assert len(ear.texts()) == MOST_OF_A_SESSION
    assert ear.dropped == ["too_many"] * 3
    assert ear.texts(MOST_OF_A_SESSION) == []
    ear.sayings.note("s", "ot=v")
    assert ear.texts() == [("s", "ot=v")]


def test_a_long_report_is_passed_over() -> None:
    ear = Ear()
    ear.sayings.note("s", "x" * (LONGEST + 1))
    assert (ear.texts(), ear.dropped) == ([], ["too_long"])


def test_what_nobody_fetches_makes_room_for_what_is_newer() -> None:
    ear = Ear()
    whole = sayings.MOST_BYTES // LONGEST
    for number in range(whole + 2):
        ear.sayings.note(f"s{number}", "x" * LONGEST)
    assert ear.dropped == ["no_room"] * 2
    found = ear.sayings.after(0)
    assert (len(found), found[0].session) == (MOST_AT_ONCE, "s2")


@given(st.text(max_size=200))
def test_any_text_has_a_short_sort(text: str) -> None:
    assert len(sort_of(text)) <= 3
