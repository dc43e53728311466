"""The claim rule: one publisher at a time, whatever happens in whatever order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from frameworks.control.commodore.domain.claims import (
    DUPLICATE_INGEST,
    RELEASED,
    SILENCE,
    SUPERSEDED,
    Claim,
    Publisher,
    Refused,
    admit,
    is_live,
    release,
    renew,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = UUID(int=1)


def _publisher(number: int = 1, *, node: str = "a", boot: str = "1") -> Publisher:
    return Publisher(
        node_id=node,
        cluster_id="default",
        boot_id=boot,
        connection_id=f"c{number}",
        key_id=KEY,
        trigger_id=f"t{number}",
    )


def _claim(asks: Publisher | None = None, current: Claim | None = None, now: datetime = START) -> Claim:
    granted = admit(current, asks or _publisher(), now)
    assert isinstance(granted, Claim)
    return granted


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_first_publisher_gets_epoch_one() -> None:
    assert _claim().epoch == 1


def test_the_same_question_gets_the_same_claim() -> None:
    claim = _claim()
    assert admit(claim, _publisher(), _at(60)) is claim


def test_another_question_about_the_same_connection_gets_the_same_claim() -> None:
    claim = _claim()
    assert admit(claim, replace(_publisher(), trigger_id="again"), _at(1)) is claim


def test_a_second_publisher_is_refused_until_five_silent_seconds_have_passed() -> None:
    claim = _claim()
    assert admit(claim, _publisher(2), _at(4.999)) == Refused(DUPLICATE_INGEST)
    assert _claim(_publisher(2), claim, _at(5)).epoch == 2


def test_a_late_repetition_of_an_outlived_question_does_not_come_back() -> None:
    second = _claim(_publisher(2), _claim(), _at(5))
    assert admit(second, _publisher(1), _at(100)) == Refused(SUPERSEDED)


def test_a_repetition_after_the_disconnect_does_not_come_back() -> None:
    released = release(_claim(), "a", "c1", 1)
    assert released is not None
    assert admit(released, _publisher(1), _at(0)) == Refused(RELEASED)


def test_silence_ends_nothing_by_itself() -> None:
    claim = _claim()
    assert renew(claim, ("a", "1", "c1"), 1, _at(60), media=True) == replace(claim, last_media_at=_at(60))


def test_an_older_epoch_is_superseded_even_on_the_same_connection() -> None:
    claim = replace(_claim(), epoch=2)
    assert renew(claim, ("a", "1", "c1"), 1, START, media=True) == Refused(SUPERSEDED)
    assert release(claim, "a", "c1", 1) is None


def test_a_clock_that_steps_back_takes_no_media_away() -> None:
    claim = _claim()
    assert renew(claim, ("a", "1", "c1"), 1, _at(-60), media=True) == claim


class Publishing(RuleBasedStateMachine):
    """Publishers come, send, fall silent, go, and nodes start again, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.claim: Claim | None = None
        self.asked: list[Publisher] = []
        self.granted: dict[int, Publisher] = {}
        self.boots = {"a": 1, "b": 1}
        self.gone: set[str] = set()
        self.last_media = START

    @initialize()
    def begin(self) -> None:
        self.now = START

    @rule(node=st.sampled_from("ab"))
    def a_new_connection_asks(self, node: str) -> None:
        self._ask(_publisher(len(self.asked) + 1, node=node, boot=str(self.boots[node])))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def a_question_is_repeated(self, data: st.DataObject) -> None:
        asks = data.draw(st.sampled_from(self.asked))
        if asks.boot_id == str(self.boots[asks.node_id]):
            self._ask(asks)

    @precondition(lambda self: self.granted)
    @rule(data=st.data(), media=st.booleans())
    def a_publisher_renews(self, data: st.DataObject, media: bool) -> None:
        epoch = data.draw(st.sampled_from(sorted(self.granted)))
        publisher = self.granted[epoch]
        holder = (publisher.node_id, publisher.boot_id, publisher.connection_id)
        renewed = renew(self.claim, holder, epoch, self.now, media=media)
        newest = epoch == max(self.granted)
        assert isinstance(renewed, Claim) == (newest and publisher.connection_id not in self.gone)
        if isinstance(renewed, Claim):
            self.claim = renewed
            if media:
                self.last_media = self.now

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def a_publisher_disconnects(self, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from(sorted(self.granted)))
        publisher = self.granted[epoch]
        released = release(self.claim, publisher.node_id, publisher.connection_id, epoch)
        if released is not None:
            assert epoch == max(self.granted)
            self.claim = released
        self.gone.add(publisher.connection_id)

    @rule(node=st.sampled_from("ab"))
    def a_node_starts_again(self, node: str) -> None:
        self.boots[node] += 1

    @rule(seconds=st.sampled_from([0.5, 1, 4.9, 5, 60]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_newest_epoch_holds_the_stream(self) -> None:
        if self.claim is not None:
            assert self.claim.epoch == max(self.granted)
            assert self.claim.publisher == self.granted[self.claim.epoch]
            assert is_live(self.claim, self.now) <= self.claim.held

    def _ask(self, asks: Publisher) -> None:
        before = self.claim
        answer = admit(before, asks, self.now)
        if asks not in self.asked:
            self.asked.append(asks)
        if isinstance(answer, Refused):
            self._was_rightly_refused(before, asks, answer)
        elif answer is not before:
            self._may_take_over(before)
            assert answer.epoch == (before.epoch if before else 0) + 1
            self.granted[answer.epoch] = asks
            self.claim, self.last_media = answer, self.now
        else:
            assert before is not None
            assert before.publisher == asks

    def _may_take_over(self, before: Claim | None) -> None:
        if before is None:
            return
        holder = before.publisher
        silent = self.now - self.last_media >= SILENCE
        started_again = holder.boot_id != str(self.boots[holder.node_id])
        assert silent or started_again or holder.connection_id in self.gone

    def _was_rightly_refused(self, before: Claim | None, asks: Publisher, answer: Refused) -> None:
        assert before is not None
        if answer.reason == DUPLICATE_INGEST:
            assert before.held
            assert before.publisher.node_id != asks.node_id or before.publisher.boot_id == asks.boot_id
            assert self.now - self.last_media < SILENCE
        else:
            assert asks in self.granted.values()


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
