"""The plan's bitrate: a lasting excess ends a publisher with a reason its owner reads, a burst does not."""

import pytest
from helmsman_fakes import ADMITTED, INTERNAL, RUNTIME, STREAM, Platform, push, trigger
from msgspec.structs import replace

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Geo
from frameworks.media.helmsman.domain import Action
from frameworks.media.helmsman.service.limits import BARRED_SECONDS, BitrateLimit
from frameworks.media.helmsman.service.measuring import Measuring
from frameworks.media.helmsman.service.publishing import Publishing

PLAN = 6_000
KILOBIT = 125


def first_stop(rates: list[int], *, declared: int = 0, allowed: int = PLAN) -> int | None:
    """The second at which a publisher of these kbit/s, one figure a second, is stopped."""
    limit, received = BitrateLimit(), 0
    for second, kbps in enumerate(rates):
        received += kbps * KILOBIT
        if limit.take("s", "c", float(second), received, declared_kbps=declared, allowed_kbps=allowed):
            return second
    return None


def test_a_lasting_excess_is_stopped_within_a_quarter_of_a_minute() -> None:
    assert first_stop([9_200] * 60) == 15


def test_the_plan_and_a_tenth_more_go_on_for_ever() -> None:
    assert first_stop([6_600] * 300) is None


@pytest.mark.parametrize("burst", [20_000, 500_000])
def test_one_burst_ends_nothing_however_large(burst: int) -> None:
    assert first_stop([5_500] * 20 + [burst] + [5_500] * 60) is None


def test_large_keyframes_every_ten_seconds_end_nothing() -> None:
    assert first_stop(([5_000] * 9 + [14_000]) * 30) is None


def test_an_excess_that_comes_in_bursts_of_every_second_second_is_one() -> None:
    assert first_stop([14_000, 4_000] * 30) is not None


def test_an_excess_that_stops_in_time_starts_anew() -> None:
    assert first_stop(([9_200] * 8 + [3_000] * 8) * 10) is None


def test_a_plan_without_a_number_has_no_limit() -> None:
    assert first_stop([900_000] * 60, allowed=0) is None


def test_a_node_that_counts_no_bytes_is_judged_by_the_tracks_own_rates() -> None:
    assert first_stop([0] * 60, declared=9_200) is not None
    assert first_stop([0] * 60, declared=6_000) is None


def test_counters_that_start_anew_are_no_excess() -> None:
    limit = BitrateLimit()
    found = [
        limit.take("s", "c", float(second), received, declared_kbps=0, allowed_kbps=PLAN)
        for second, received in enumerate([10_000_000_000 + n for n in range(8)] + list(range(40)))
    ]
    assert set(found) == {0}


def test_another_connection_starts_anew() -> None:
    limit, received = BitrateLimit(), 0
    for second in range(60):
        received += 9_200 * KILOBIT
        connection = f"c{second // 14}"
        assert not limit.take("s", connection, float(second), received, declared_kbps=0, allowed_kbps=PLAN)


@pytest.fixture
def platform() -> Platform:
    return Platform(answer=replace(ADMITTED, max_kbps=PLAN))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def publishing(platform: Platform, clock: FakeClock) -> Publishing:
    return Publishing(platform, platform, platform, platform, Geo(None), clock)


@pytest.fixture
def measuring(platform: Platform, publishing: Publishing, clock: FakeClock) -> Measuring:
    return Measuring(platform, platform, publishing, platform, clock, "n1")


async def send(
    platform: Platform, measuring: Measuring, clock: FakeClock, kbps: int, *, seconds: int
) -> None:
    """So many seconds of media."""
    for _ in range(seconds):
        await clock.advance(1)
        platform.received += kbps * KILOBIT
        await measuring.look()
        await measuring.enforce()


async def test_who_sends_too_much_is_stopped_and_the_owner_reads_both_figures(
    platform: Platform, publishing: Publishing, measuring: Measuring, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
    await send(platform, measuring, clock, 9_200, seconds=20)
    assert platform.stopped == [RUNTIME]
    assert platform.released == [(STREAM, 1, "u-1")]
    [overrun] = platform.overruns
    assert (overrun.allowed_kbps, overrun.measured_kbps, overrun.protocol) == (6_000, 9_200, "RTMP")
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "EMPTY", uuid="b2"))
    body = platform.facts[-1].body
    assert (body["state"], body["reason"]) == ("offline", "BITRATE_LIMIT")
    assert "allows 6,000 kbit/s; your encoder sent 9,200 kbit/s" in body["detail"]


async def test_the_overrun_is_told_whoever_gives_the_claim_back_first(
    platform: Platform,
    publishing: Publishing,
    measuring: Measuring,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stop(name: str) -> None:
        closed = trigger("PUSH_INPUT_CLOSE", name, "h", "RTMP", "7", "CLEAN_INTENDED_STOP", "x", "[]")
        await publishing.input_closed(closed)

    monkeypatch.setattr(platform, "stop", stop)
    await publishing.admit(push())
    await send(platform, measuring, clock, 9_200, seconds=20)
    assert platform.overruns[0].measured_kbps == 9_200


async def test_the_owner_is_warned_before(
    platform: Platform, publishing: Publishing, measuring: Measuring, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
    await send(platform, measuring, clock, 9_200, seconds=8)
    await measuring.record_streams()
    assert "bitrate_over_plan" in platform.facts[-1].body["issues"]
    assert platform.stopped == []


async def test_an_encoder_that_was_cut_off_is_refused_for_a_minute_and_reads_why(
    platform: Platform, publishing: Publishing, measuring: Measuring, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await send(platform, measuring, clock, 9_200, seconds=20)
    verdict = await publishing.admit(push("u-2", pid="8"))
    assert verdict.action is Action.DENY
    assert "6,000 kbit/s" in verdict.reason
    await clock.advance(BARRED_SECONDS)
    assert (await publishing.admit(push("u-3", pid="9"))).action is Action.VALUE


async def test_a_publisher_that_can_not_be_stopped_now_is_stopped_later(
    platform: Platform, publishing: Publishing, measuring: Measuring, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await send(platform, measuring, clock, 9_200, seconds=14)
    await clock.advance(1)
    platform.received += 9_200 * KILOBIT
    await measuring.look()
    await clock.advance(1)
    platform.received += 9_200 * KILOBIT
    await measuring.look()
    platform.away = True
    with pytest.raises(Unavailable):
        await measuring.enforce()
    assert publishing.publishers[INTERNAL].connected
    platform.away = False
    await send(platform, measuring, clock, 9_200, seconds=1)
    assert platform.stopped == [RUNTIME]


async def test_packets_are_told_as_what_came_since_the_last_sample(
    platform: Platform, publishing: Publishing, measuring: Measuring, clock: FakeClock
) -> None:
    await publishing.admit(push())
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
    told = []
    for counters in ((1_000, 50, 5), (1_400, 52, 5), (1_400, 52, 5), (100, 1, 0)):
        platform.packets = counters
        await measuring.look()
        await measuring.record_streams()
        body = platform.facts[-1].body
        told.append((body["packets_sent"], body["packets_lost"], body["packets_retransmitted"]))
        await clock.advance(5)
    assert told == [(0, 0, 0), (400, 2, 0), (0, 0, 0), (100, 1, 0)]


async def test_packets_of_a_stream_that_came_while_we_looked_count_from_its_start(
    platform: Platform, publishing: Publishing, measuring: Measuring
) -> None:
    await measuring.look()
    measuring.picture.stream_rates.clear()
    measuring.picture.packets.clear()
    await publishing.admit(push())
    await publishing.buffer(trigger("STREAM_BUFFER", RUNTIME, "FULL", "{}"))
    platform.packets = (300, 3, 1)
    await measuring.look()
    await measuring.record_streams()
    assert platform.facts[-1].body["packets_sent"] == 300
