"""What goes in comes out, in order, and never more than fits is inside."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from frameworks.kit.rpc.pipe import Pipe


@given(items=st.lists(st.binary(max_size=3), max_size=50), depth=st.integers(1, 5))
def test_everything_arrives_in_order(items: list[bytes], depth: int) -> None:
    async def run() -> list[bytes]:
        pipe = Pipe(depth)

        async def write() -> None:
            for item in items:
                await pipe.put(item)
            pipe.close()

        writer = asyncio.ensure_future(write())
        received = []
        while (item := await pipe.get()) is not None:
            received.append(item)
        await writer
        return received

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(run()) == items
    loop.close()


async def test_a_writer_waits_when_it_is_full() -> None:
    pipe = Pipe(1)
    await pipe.put(b"1")
    writer = asyncio.create_task(pipe.put(b"2"))
    await asyncio.sleep(0)
    assert not writer.done()
    assert await pipe.get() == b"1"
    await writer
    assert await pipe.get() == b"2"


async def test_closing_lets_the_reader_finish_and_frees_the_writer() -> None:
    pipe = Pipe(1)
    await pipe.put(b"1")
    writer = asyncio.create_task(pipe.put(b"2"))
    await asyncio.sleep(0)
    pipe.close()
    await writer
    assert [await pipe.get(), await pipe.get()] == [b"1", None]


async def test_closing_with_discard_ends_at_once() -> None:
    pipe = Pipe()
    await pipe.put(b"1")
    pipe.close(discard=True)
    assert await pipe.get() is None
