"""Global ids, pages, scopes and the other small rules."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.bridge.api import relay, tokens
from frameworks.control.bridge.api.infrastructure.enrolment import BadLifetime, seconds
from frameworks.control.bridge.api.streams import refuse_missing_systems
from frameworks.control.bridge.domain import BadId, BadPage, NotOffered, global_id, local_id, uuid_id
from frameworks.control.bridge.transport.ratelimit import Buckets, Rate
from frameworks.kit.clock import FakeClock

STREAM = "01890000-0000-7000-8000-000000000001"


def test_a_global_id_gives_back_what_it_was_made_of() -> None:
    assert local_id("Stream", global_id("Stream", STREAM)) == STREAM


def test_a_raw_id_stands_for_itself() -> None:
    assert uuid_id("Stream", STREAM) == STREAM


def test_the_id_of_another_kind_is_refused() -> None:
    with pytest.raises(BadId):
        uuid_id("Stream", global_id("Cluster", STREAM))


@given(st.text(max_size=60))
def test_any_text_is_a_stream_id_or_refused(text: str) -> None:
    with suppress(BadId):
        assert len(uuid_id("Stream", text)) == 36


def test_a_page_forwards_is_fifty_rows_unless_said_otherwise() -> None:
    assert relay.page(pb.Page(), None).first == 50


def test_the_last_rows_win_over_the_default_of_the_first() -> None:
    found = relay.page(pb.Page(), {"first": 50, "last": 5, "before": "c"})
    assert (found.first, found.last, found.before) == (0, 5, "c")


@pytest.mark.parametrize("rows", [0, -1, 501])
def test_a_page_has_a_size(rows: int) -> None:
    with pytest.raises(BadPage):
        relay.page(pb.Page(), {"first": rows})


def test_scopes_are_read_with_commas_or_spaces() -> None:
    assert tokens.scopes("streams:write, analytics:read streams:write") == ["streams:write", "analytics:read"]
    assert tokens.scopes(None) == ["streams:read"]


def test_a_life_is_read_in_units() -> None:
    assert seconds("1h30m") == 5400
    with pytest.raises(BadLifetime):
        seconds("soon")


def test_settings_of_missing_systems_are_refused_and_their_off_values_pass() -> None:
    refuse_missing_systems({"liveVideoAbr": "INHERIT", "ingestMode": "PUSH", "sourceLocation": None})
    with pytest.raises(NotOffered):
        refuse_missing_systems({"ingestMode": "PULL"})
    with pytest.raises(NotOffered):
        refuse_missing_systems({"sourceLocation": {"mode": "RESTRICTED"}})


async def test_a_bucket_fills_again_with_time() -> None:
    clock = FakeClock()
    buckets = Buckets(Rate(60, 2), clock)
    assert [buckets.take("a").passes for _ in range(3)] == [True, True, False]
    assert buckets.take("b").passes
    await clock.advance(1.0)
    assert buckets.take("a").passes
    assert buckets.take("a").retry_after == 1


def test_buckets_of_callers_long_gone_are_forgotten() -> None:
    buckets = Buckets(Rate(60, 1), FakeClock(), size=2)
    assert [buckets.take(caller).passes for caller in "abca"] == [True] * 4
