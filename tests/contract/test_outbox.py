"""What the outbox promises: nothing without its cause, everything at least once, each key in order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from fixtures_postgres import Open, ServicePackage

from frameworks.kit import outbox
from frameworks.kit.clock import uuid7
from frameworks.kit.errors import Unavailable
from frameworks.kit.outbox import Letter, Outbox
from frameworks.kit.sql import Database

TENANT = uuid7()


class Post:
    """Takes deliveries, and fails those whose payload it is told to."""

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self.refused: dict[bytes, Exception] = {}
        self.busy: set[str] = set()
        self.arrival = asyncio.Event()

    async def deliver(self, letter: Letter) -> None:
        """Keep the payload, unless told to fail; two at a time of one key is an error."""
        assert letter.key not in self.busy
        self.busy.add(letter.key)
        await asyncio.sleep(0)
        self.busy.discard(letter.key)
        if letter.payload in self.refused:
            raise self.refused[letter.payload]
        self.arrived.append(letter.payload)
        self.arrival.set()


@pytest.fixture
async def db(service_package: ServicePackage, open_database: Open) -> AsyncIterator[Database]:
    """A service with an outbox."""
    service_package.migration(1, "SELECT frameworks.outbox_table('{s}')")
    async with open_database(service_package.name) as opened:
        yield opened


@pytest.fixture
def post() -> Post:
    """Where letters arrive."""
    return Post()


async def send(db: Database, *letters: tuple[str, bytes]) -> None:
    """Add letters (key, payload), each in a transaction of the tenant."""
    for key, payload in letters:
        async with db.tenant(TENANT) as c:
            await outbox.add(c, db.schema, "topic", key, payload, {"tenant_id": str(TENANT)})


async def make_due(database_url: str, schema: str) -> None:
    """Let back-offs and leases end now."""
    owner = await asyncpg.connect(database_url)
    await owner.execute(f"UPDATE {schema}.outbox SET due_at = now()")
    await owner.close()


async def test_letters_arrive_whole_and_once(db: Database) -> None:
    letters: list[Letter] = []

    async def keep(letter: Letter) -> None:
        letters.append(letter)

    await send(db, ("k", b"\x00payload"))
    box = Outbox(db, db.schema)
    assert await box.drain_once(keep) == 1
    assert await box.drain_once(keep) == 0
    [letter] = letters
    assert (letter.topic, letter.key, letter.payload) == ("topic", "k", b"\x00payload")
    assert letter.headers == {"tenant_id": str(TENANT)}
    assert letter.attempts == 1


async def test_what_is_rolled_back_is_not_delivered(db: Database, post: Post) -> None:
    async def fail() -> None:
        async with db.tenant(TENANT) as c:
            await outbox.add(c, db.schema, "topic", "k", b"never")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await Outbox(db, db.schema).drain_once(post.deliver) == 0


async def test_a_tenant_can_add_but_not_read(db: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.tenant(TENANT) as c:
            await c.fetch(f"SELECT * FROM {db.schema}.outbox")


async def test_a_failed_letter_holds_back_its_key_and_no_other(
    db: Database, database_url: str, post: Post
) -> None:
    await send(db, ("a", b"a1"), ("b", b"b1"), ("a", b"a2"), ("b", b"b2"), ("a", b"a3"))
    box = Outbox(db, db.schema)
    post.refused[b"a2"] = Unavailable("not now")
    await box.drain_once(post.deliver)
    assert await box.drain_once(post.deliver) == 0
    assert sorted(post.arrived) == [b"a1", b"b1", b"b2"]
    backlog = await box.backlog()
    assert (backlog.waiting, backlog.failing) == (2, 1)
    post.refused.clear()
    await make_due(database_url, db.schema)
    await box.drain_once(post.deliver)
    assert post.arrived[-2:] == [b"a2", b"a3"]
    assert (await box.backlog()).waiting == 0


async def test_each_failure_waits_longer_and_leaves_its_reason(
    db: Database, database_url: str, post: Post
) -> None:
    await send(db, ("a", b"a1"))
    box = Outbox(db, db.schema)
    post.refused[b"a1"] = Unavailable("the peer is away")
    pauses: list[timedelta] = []
    for _ in range(6):
        assert await box.drain_once(post.deliver) == 1
        async with db.system() as c:
            row = await c.fetchrow(f"SELECT due_at - now() AS pause, attempts, error FROM {db.schema}.outbox")
        assert row is not None
        assert row["error"] == "Unavailable: the peer is away"
        pauses.append(row["pause"])
        await make_due(database_url, db.schema)
    assert pauses[0] < timedelta(seconds=2) < timedelta(seconds=10) < pauses[-1] < timedelta(seconds=40)


async def test_a_bug_in_delivery_is_raised_and_loses_nothing(
    db: Database, database_url: str, post: Post
) -> None:
    await send(db, ("a", b"a1"), ("b", b"b1"))
    box = Outbox(db, db.schema)
    post.refused[b"a1"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await box.drain_once(post.deliver)
    assert post.arrived == [b"b1"]
    post.refused.clear()
    await make_due(database_url, db.schema)
    await box.drain_once(post.deliver)
    assert post.arrived == [b"b1", b"a1"]


async def test_a_batch_is_bounded(db: Database, post: Post) -> None:
    await send(db, *((str(n), b"%d" % n) for n in range(7)))
    box = Outbox(db, db.schema, batch=3)
    assert [await box.drain_once(post.deliver) for _ in range(4)] == [3, 3, 1, 0]


async def test_two_processes_deliver_each_letter_once_and_in_order(db: Database, post: Post) -> None:
    await send(db, *((str(n % 5), b"%d:%03d" % (n % 5, n)) for n in range(60)))
    boxes = [Outbox(db, db.schema, batch=7) for _ in range(2)]
    while sum(await asyncio.gather(*(box.drain_once(post.deliver) for box in boxes))):
        pass
    assert len(post.arrived) == len(set(post.arrived)) == 60
    for key in range(5):
        of_key = [payload for payload in post.arrived if payload.startswith(b"%d:" % key)]
        assert of_key == sorted(of_key)


async def test_letters_of_a_process_that_died_are_taken_over_when_their_lease_ends(
    db: Database, database_url: str, post: Post
) -> None:
    await send(db, ("a", b"a1"), ("a", b"a2"))
    await Outbox(db, db.schema)._claim()
    box = Outbox(db, db.schema)
    assert await box.drain_once(post.deliver) == 0
    await make_due(database_url, db.schema)
    assert await box.drain_once(post.deliver) == 2
    assert post.arrived == [b"a1", b"a2"]


async def test_a_delivery_may_not_outlast_its_lease(db: Database, post: Post) -> None:
    async def hang(letter: Letter) -> None:
        await asyncio.Event().wait()

    await send(db, ("a", b"a1"))
    box = Outbox(db, db.schema, lease=timedelta(milliseconds=100))
    assert await box.drain_once(hang) == 1
    assert (await box.backlog()).failing == 1


async def test_the_loop_delivers_what_is_added_and_stops_at_once_returning_the_rest(
    db: Database, post: Post
) -> None:
    begun = asyncio.Event()

    async def deliver(letter: Letter) -> None:
        if letter.payload == b"slow":
            begun.set()
            await asyncio.Event().wait()
        await post.deliver(letter)

    box = Outbox(db, db.schema, idle=600)
    loop = asyncio.create_task(box.drain(deliver))
    await asyncio.sleep(0)
    await send(db, ("a", b"a1"))
    box.nudge()
    await post.arrival.wait()
    await send(db, ("a", b"slow"))
    box.nudge()
    await begun.wait()
    loop.cancel()
    await asyncio.wait({loop})
    assert loop.cancelled()
    assert post.arrived == [b"a1"]
    assert await box.drain_once(post.deliver) == 1
    assert post.arrived == [b"a1", b"slow"]
