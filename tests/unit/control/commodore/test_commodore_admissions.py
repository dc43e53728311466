"""Admissions when Quartermaster or Purser is away: what runs goes on, what is new is refused."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from frameworks.control.commodore.domain.admission import Ask, KnownKey, RefusedIngest, Standing
from frameworks.control.commodore.domain.claims import Claim, Refused
from frameworks.control.commodore.service.admission import Admissions, Node, Renewal
from frameworks.control.commodore.service.standing import Standings
from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable

TENANT, STREAM, KEY = UUID(int=1), UUID(int=2), UUID(int=3)
STREAM_KEY = "sk_" + "a" * 32
GOOD = Standing(
    active=True,
    cluster_ids=("default",),
    suspended=False,
    max_streams=3,
    max_live_streams=3,
    max_viewers=200,
    max_ingest_kbps=8000,
)


class Authority:
    """Knows one standing, or is away."""

    def __init__(self) -> None:
        self.standing_now: Standing | None = GOOD

    async def standing(self, tenant: UUID) -> Standing:
        if self.standing_now is None:
            raise Unavailable("away")
        return self.standing_now


class OneStream:
    """A store of one stream and its claim."""

    def __init__(self) -> None:
        self.current: Claim | None = None
        self.refused: list[RefusedIngest] = []
        self.lookups = 0
        self.known = True

    async def resolve_key(self, key_hash: str) -> tuple[UUID, UUID] | None:
        self.lookups += 1
        return (TENANT, KEY) if self.known else None

    async def resolve_owners(self, stream_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        return dict.fromkeys(stream_ids, TENANT)

    async def key(self, tenant: UUID, key_id: UUID) -> KnownKey | None:
        return KnownKey(
            key_id=KEY,
            stream_id=STREAM,
            internal_name="i" * 32,
            playback_id="p" * 16,
            active=True,
            recording_enabled=False,
        )

    async def claim(
        self,
        tenant: UUID,
        key_id: UUID,
        decide: Callable[[KnownKey, Claim | None], Claim | Refused],
        now: datetime,
        most_live: int,
    ) -> tuple[KnownKey, Claim | Refused] | None:
        key = await self.key(tenant, key_id)
        if key is None:
            return None
        decided = decide(key, self.current)
        if isinstance(decided, Claim):
            self.current = decided
        return key, decided

    async def renew(
        self, tenant: UUID, wanted: Mapping[UUID, Callable[[Claim | None, bool], Claim | Refused]]
    ) -> Mapping[UUID, Claim | Refused]:
        return {stream: rule(self.current, True) for stream, rule in wanted.items()}

    async def release(
        self, tenant: UUID, stream_id: UUID, decide: Callable[[Claim | None], Claim | None]
    ) -> bool:
        return decide(self.current) is not None

    async def record(self, tenant: UUID, refused: RefusedIngest) -> None:
        self.refused.append(refused)

    async def refusals(self, tenant: UUID, stream_id: UUID | None, limit: int) -> Sequence[RefusedIngest]:
        return self.refused[:limit]


class Signer:
    """Signs nothing."""

    def attribution(
        self, *, tenant: UUID, stream: UUID, cluster: str, node: str, role: str, epoch: int
    ) -> str:
        return f"{role}:{epoch}"


class Setting:
    """Admissions over fakes."""

    def __init__(self) -> None:
        self.clock, self.authority, self.store = FakeClock(), Authority(), OneStream()
        standings = Standings(self.authority, self.clock)
        self.admissions = Admissions(
            self.store, standings, Signer(), self.clock, attribution=timedelta(hours=24)
        )

    async def admit(self, number: int = 1) -> str:
        """The reason of a refusal, or nothing."""
        ask = Ask(
            node_id="n",
            cluster_id="default",
            boot_id="b",
            connection_id=f"c{number}",
            trigger_id=f"t{number}",
            protocol="rtmp",
        )
        return (await self.admissions.admit(STREAM_KEY, ask)).reason

    async def renew(self) -> bool:
        """Whether the first publisher may stay."""
        renewal = Renewal(
            stream_id=STREAM, epoch=1, connection_id="c1", media_flows=True, renew_attribution=False
        )
        return (await self.admissions.renew(Node("n", "default", "b"), [renewal]))[0].held


async def test_nobody_comes_in_while_nobody_can_say_whether_they_may() -> None:
    setting = Setting()
    setting.authority.standing_now = None
    assert await setting.admit() == "UNAVAILABLE"
    assert "try again" in setting.store.refused[0].message


async def test_a_standing_known_lately_serves_while_its_source_is_away() -> None:
    setting = Setting()
    assert await setting.admit() == ""
    setting.authority.standing_now = None
    await setting.clock.advance(299)
    assert await setting.admit(2) == ""
    await setting.clock.advance(2)
    assert await setting.admit(3) == "UNAVAILABLE"


async def test_running_publishers_stay_while_the_control_plane_is_away() -> None:
    setting = Setting()
    await setting.admit()
    setting.authority.standing_now = None
    for hours in (1, 22, 24):
        await setting.clock.advance(hours * 3600)
        assert await setting.renew()


async def test_an_unknown_key_is_looked_up_once_in_two_seconds() -> None:
    setting = Setting()
    setting.store.known = False
    for _ in range(5):
        assert await setting.admit() == "INVALID_KEY"
    assert setting.store.lookups == 1
    await setting.clock.advance(2)
    setting.store.known = True
    assert await setting.admit() == ""
