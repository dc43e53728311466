"""The control plane in one process (Purser, Quartermaster, Commodore), its callers and its outgoing mail."""

import asyncio
import hashlib
import itertools
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import grpc.aio
import msgspec
import pytest

from frameworks.contracts.audit import Entry
from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.audit_trail import TOPIC
from frameworks.contracts.pb import commodore_v1_pb2 as commodore_pb
from frameworks.contracts.pb import foghorn_v1_pb2 as foghorn_pb
from frameworks.contracts.pb import quartermaster_v1_pb2 as quartermaster_pb
from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceStub
from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.contracts.permissions import commodore as commodore_rules
from frameworks.contracts.permissions import foghorn as foghorn_rules
from frameworks.contracts.permissions import purser as purser_rules
from frameworks.contracts.permissions import quartermaster as quartermaster_rules
from frameworks.control.commodore.domain.letters import Mail
from frameworks.control.commodore.domain.stops import StopOrder
from frameworks.control.commodore.module import MODULE as COMMODORE
from frameworks.control.commodore.peers.authority import TenantRegistry
from frameworks.control.commodore.peers.delivery import Delivery
from frameworks.control.commodore.peers.mail import SmtpMailer
from frameworks.control.purser.module import MODULE as PURSER
from frameworks.control.quartermaster.module import MODULE as QUARTERMASTER
from frameworks.engines.postgres import EmbeddedPostgres
from frameworks.kit.clock import FakeClock, random_text
from frameworks.kit.host import ProcessHost
from frameworks.kit.identity import Identity, NodeIdentity, Rule, TrustStore, new_key, public_jwk
from frameworks.kit.module import Host, Module, running
from frameworks.kit.outbox import Letter, Outbox
from frameworks.kit.rpc import Call, Channel, Loopback
from frameworks.kit.rpc.client import Bearer
from frameworks.kit.sql import Database

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub
    from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceAsyncStub
    from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceAsyncStub
    from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceAsyncStub

PASSWORD = "correct horse battery"
_RULES: dict[str, dict[str, Rule]] = {
    "commodore": commodore_rules.RULES,
    "foghorn": foghorn_rules.RULES,
    "purser": purser_rules.RULES,
    "quartermaster": quartermaster_rules.RULES,
}
_numbers = itertools.count()


class _Said:
    """Whoever holds this token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def bearer(self, audience: str) -> str:
        """The token, whomever it is shown to."""
        return self._token


class _Unheard:
    """A Foghorn with no streams."""

    async def stop(self, order: StopOrder) -> None:
        """Nothing runs."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The services as one caller sees them."""

    commodore: "CommodoreServiceAsyncStub"
    quartermaster: "QuartermasterServiceAsyncStub"
    purser: "PurserServiceAsyncStub"
    foghorn: "FoghornServiceAsyncStub"


@dataclass
class Foghorn:
    """Hears what Commodore no longer allows."""

    orders: list[foghorn_pb.StopStreamsRequest] = field(default_factory=list)

    async def StopStreams(
        self, request: foghorn_pb.StopStreamsRequest, call: Call
    ) -> foghorn_pb.StopStreamsResponse:
        """Take an order."""
        self.orders.append(request)
        return foghorn_pb.StopStreamsResponse()

    def module(self) -> Module:
        """In the place of the real one."""

        @asynccontextmanager
        async def start(host: Host) -> AsyncIterator[None]:
            host.serve_rpc(foghorn_pb.DESCRIPTOR.services_by_name["FoghornService"], self, service="foghorn")
            yield

        return Module("foghorn", start)


@dataclass(frozen=True, slots=True)
class Member:
    """A signed-in owner."""

    session: commodore_pb.Session
    caller: Caller

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.session.user.tenant_id


@dataclass(frozen=True, slots=True)
class Node:
    """An enrolled node."""

    id: str
    caller: Caller


@dataclass(slots=True)
class ControlPlane:
    """The running services, from outside."""

    clock: FakeClock
    host: ProcessHost
    trust: TrustStore
    loopback: Loopback
    db: Database
    quartermaster_db: Database
    foghorn: "Foghorn"
    trail: list[Entry] = field(default_factory=list)
    """What the audit trail was told, as far as somebody looked."""

    def calling(self, identity: Bearer | None) -> Caller:
        """The services as `identity` sees them."""
        channel = cast(grpc.aio.Channel, Channel(lambda path: self.loopback, identity, clock=self.clock))
        return Caller(
            CommodoreServiceStub(channel),
            QuartermasterServiceStub(channel),
            PurserServiceStub(channel),
            FoghornServiceStub(channel),
        )

    def public(self) -> Caller:
        """Anybody."""
        return self.calling(None)

    def service(self, name: str) -> Caller:
        """A service."""
        return self.calling(Identity(name, self.trust.private_key(name), self.clock))

    def holding(self, token: str) -> Caller:
        """Whoever holds an access token."""
        return self.calling(_Said(token))

    async def member(self, *, operator: bool = False, address: str = "") -> Member:
        """A new owner of a new tenant, signed in."""
        address = address or f"user{next(_numbers)}-{random_text(4)}@example.org"
        request = commodore_pb.EnsureUserRequest(email=address, password=PASSWORD, operator=operator)
        await self.service("cli").commodore.EnsureUser(request)
        return await self.signed_in(address)

    async def signed_in(self, address: str) -> Member:
        """A known owner, signed in."""
        request = commodore_pb.SignInRequest(email=address, password=PASSWORD, client=address)
        session = await self.public().commodore.SignIn(request)
        return Member(session, self.holding(session.access_token))

    async def node(self, cluster: str = "default", owner: Member | None = None) -> "Node":
        """A node enrolled in a cluster."""
        issuer = owner.caller if owner else self.service("cli")
        token = await issuer.quartermaster.CreateEnrollmentToken(
            quartermaster_pb.CreateEnrollmentTokenRequest(cluster_id=cluster)
        )
        key, node_id = new_key(), f"node-{next(_numbers)}"
        certificate = await self.public().quartermaster.EnrollNode(
            quartermaster_pb.EnrollNodeRequest(
                token=token.token, node_id=node_id, public_key=json.dumps(public_jwk(key))
            )
        )
        return Node(node_id, self.calling(NodeIdentity(node_id, key, certificate.certificate, self.clock)))

    async def mails(self) -> list[Mail]:
        """The mails that wait, taken out; what else waits is delivered."""
        found: list[Mail] = []
        tenants = TenantRegistry(self.service("commodore").quartermaster)
        nobody: Any = None

        async def unchanged(tenant: UUID) -> None:
            """Nothing runs here that would have to stop."""

        mailer = SmtpMailer("smtp://127.0.0.1:1", "us")
        delivery = Delivery(
            mailer, tenants, AuditDelivery("commodore", nobody), _Unheard(), unchanged, self.clock, ""
        )

        async def take(letter: Letter) -> None:
            if letter.topic == "mail":
                found.append(msgspec.json.decode(letter.payload, type=Mail))
            elif letter.topic == TOPIC:
                self.trail.append(msgspec.json.decode(letter.payload, type=Entry))
            else:
                await delivery.deliver(letter)

        outbox = Outbox(self.db, "commodore")
        while await outbox.drain_once(take):
            pass
        return found

    async def told(self, tenant: str) -> list[Entry]:
        """The audit trail of a tenant, oldest first."""
        return sorted((e for e in await self.whole_trail() if str(e.tenant) == tenant), key=lambda e: e.at)

    async def whole_trail(self) -> list[Entry]:
        """What was taken out already, and what waits: without a Decklog here, it waits however often it is tried."""
        await self.mails()
        found = {entry.event_id: entry for entry in self.trail}
        for service in ("commodore", "quartermaster", "purser"):
            db = await self.host.database(f"frameworks.control.{service}")
            async with db.system() as c:
                rows = await c.fetch(f"SELECT payload FROM {service}.outbox WHERE topic = $1", TOPIC)
            waiting = [msgspec.json.decode(row["payload"], type=Entry) for row in rows]
            found |= {entry.event_id: entry for entry in waiting}
        return list(found.values())

    async def proof(self) -> str:
        """A solved proof of work, found without the library that issued it."""
        challenge = json.loads((await self.public().commodore.IssueChallenge(_CHALLENGE)).json)
        return solved(challenge)


_CHALLENGE = commodore_pb.IssueChallengeRequest()


def solved(challenge: dict[str, Any]) -> str:
    """The solution of a challenge, as a browser without WebCrypto finds it."""
    for number in range(challenge["maxNumber"] + 1):
        if hashlib.sha256(f"{challenge['salt']}{number}".encode()).hexdigest() == challenge["challenge"]:
            fields = {name: challenge[name] for name in ("algorithm", "challenge", "salt", "signature")}
            return b64encode(json.dumps(fields | {"number": number}).encode()).decode()
    raise AssertionError("the challenge has no solution")


@pytest.fixture(scope="session")
async def control(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ControlPlane]:
    """A control plane on a database of its own, shared by all tests: use a tenant of your own."""
    url = await _database(postgres)
    directory = tmp_path_factory.mktemp("control")
    trust = TrustStore(directory / "keys")
    for service in ("commodore", "quartermaster", "purser", "bridge", "foghorn", "cli"):
        trust.register(service)
    clock = FakeClock()
    host = ProcessHost(_environment(directory, url), rules=_rules(), clock=clock)
    foghorn = Foghorn()
    async with running([COMMODORE, QUARTERMASTER, PURSER, foghorn.module()], host):
        db = await host.database("frameworks.control.commodore")
        quartermaster_db = await host.database("frameworks.control.quartermaster")
        yield ControlPlane(clock, host, trust, host._loopback, db, quartermaster_db, foghorn)
    await asyncio.wait_for(host.close(), 30)


def _environment(directory: Path, url: str) -> dict[str, str]:
    return {
        "FRAMEWORKS_DATA_DIR": str(directory),
        "FRAMEWORKS_DATABASE": url,
        "COMMODORE_PASSWORD_MEMORY_KIB": "64",
        "COMMODORE_PROOF_WORK": "300",
        "COMMODORE_PUBLIC_URL": "https://example.org",
    }


def _rules() -> dict[str, Rule]:
    return {
        f"/frameworks.{name}.v1.{name.capitalize()}Service/{method}": rule
        for name, rules in _RULES.items()
        for method, rule in rules.items()
    }


async def _database(postgres: EmbeddedPostgres) -> str:
    name = "control_" + random_text(10, "abcdefghijklmnopqrstuvwxyz")
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return urlunsplit(urlsplit(postgres.url)._replace(path="/" + name))
