"""The node fires exactly the exchanges that Helmsman's suite replays."""

from trigger_story import FIXTURES, Story, text

EXPECTED = {
    *("push_rewrite", "play_rewrite", "default_stream", "stream_source", "user_new", "user_new_recheck"),
    *("stream_buffer_full", "stream_buffer_dry", "stream_buffer_recover", "stream_buffer_empty"),
    *("live_track_list", "push_input_close", "stream_end", "user_end"),
}


async def test_a_streams_life_is_the_recorded_exchanges() -> None:
    told = await Story().tell()
    assert set(told) == EXPECTED
    for name, exchange in told.items():
        assert text(exchange) == (FIXTURES / f"{name}.json").read_text(), name


def test_every_recorded_exchange_is_one_the_node_fires() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == EXPECTED
