"""Wiring of Commodore."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from frameworks.contracts.audit_delivery import AuditDelivery
from frameworks.contracts.pb.decklog_v1_pb2_grpc import DecklogServiceStub
from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceStub
from frameworks.control.commodore import jobs
from frameworks.control.commodore.api import SERVICE, servicer
from frameworks.control.commodore.api.accounts import OwnAccountCalls, PublicCalls
from frameworks.control.commodore.api.bootstrap import BootstrapCalls
from frameworks.control.commodore.api.nodes import NodeCalls
from frameworks.control.commodore.api.standing import StandingCalls
from frameworks.control.commodore.api.streams import StreamCalls
from frameworks.control.commodore.api.tokens import TokenCalls
from frameworks.control.commodore.config import Settings
from frameworks.control.commodore.peers.authority import TenantRegistry
from frameworks.control.commodore.peers.delivery import Delivery
from frameworks.control.commodore.peers.mail import SmtpMailer
from frameworks.control.commodore.peers.media import Media
from frameworks.control.commodore.peers.signing import TokenSigner
from frameworks.control.commodore.peers.stubs import authority
from frameworks.control.commodore.service.accounts import Accounts
from frameworks.control.commodore.service.admission import Admissions
from frameworks.control.commodore.service.bootstrap import Bootstrap
from frameworks.control.commodore.service.enforcement import Enforcement
from frameworks.control.commodore.service.links import Links
from frameworks.control.commodore.service.passwords import Passwords
from frameworks.control.commodore.service.proofs import Proofs
from frameworks.control.commodore.service.registration import Registration
from frameworks.control.commodore.service.resolution import Resolution
from frameworks.control.commodore.service.sessions import Sessions
from frameworks.control.commodore.service.standing import Standings
from frameworks.control.commodore.service.streams import Streams
from frameworks.control.commodore.service.throttle import Throttle
from frameworks.control.commodore.service.tokens import ApiTokens
from frameworks.control.commodore.service.vault import Vault, data_key
from frameworks.control.commodore.store import (
    AccountStore,
    AdmissionStore,
    ApiTokenStore,
    ResolutionStore,
    SessionStore,
    StopStore,
    StreamStore,
    SweepStore,
)
from frameworks.kit.host import HostSettings
from frameworks.kit.module import Host, Module
from frameworks.kit.outbox import Outbox
from frameworks.kit.sql import Database


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the use cases share."""

    host: Host
    settings: Settings
    db: Database
    vault: Vault
    signer: TokenSigner
    passwords: Passwords
    tenants: TenantRegistry
    standings: Standings
    outbox: Outbox


@asynccontextmanager
async def start(host: Host) -> AsyncIterator[None]:
    """Offer CommodoreService, deliver the outbox, remove what expired."""
    parts = await _parts(host)
    outbox = parts.outbox
    enforcement = Enforcement(StopStore(parts.db), parts.standings, host.clock, outbox.nudge)
    calls = (*_account_calls(parts), *_stream_calls(parts), StandingCalls(enforcement))
    host.serve_rpc(SERVICE, servicer(*calls), service="commodore")
    mailer = SmtpMailer(parts.settings.smtp, parts.settings.mail_from)
    audit = AuditDelivery("commodore", host.peer(DecklogServiceStub, service="commodore"))
    media = Media(host.peer(FoghornServiceStub, service="commodore"))
    delivery = Delivery(
        mailer,
        parts.tenants,
        audit,
        media,
        enforcement.standing_changed,
        host.clock,
        parts.settings.public_url,
    )
    host.spawn("outbox", partial(outbox.drain, delivery.deliver), module="commodore")
    host.spawn("sweep", partial(jobs.sweep, SweepStore(parts.db), host.clock), module="commodore")
    try:
        yield
    finally:
        parts.passwords.close()


async def _parts(host: Host) -> _Parts:
    settings = host.settings(Settings)
    tenants, standing = authority(host)
    key_file = settings.data_key_file or host.settings(HostSettings).data_dir / "keys" / "commodore-data.key"
    db = await host.database("frameworks.control.commodore")
    return _Parts(
        host=host,
        settings=settings,
        db=db,
        vault=Vault(data_key(key_file)),
        signer=TokenSigner(host.identity("commodore"), host.clock, attribution=settings.attribution_lifetime),
        passwords=Passwords(memory_kib=settings.password_memory_kib, workers=settings.password_workers),
        tenants=tenants,
        standings=Standings(standing, host.clock),
        outbox=Outbox(db, "commodore", clock=host.clock),
    )


def _account_calls(parts: _Parts) -> tuple[object, ...]:
    settings, clock, store = parts.settings, parts.host.clock, AccountStore(parts.db)
    links = Links(clock)
    proofs = Proofs(
        store, parts.vault.derive("proofs"), clock, lifetime=settings.proof_lifetime, work=settings.proof_work
    )
    sessions = Sessions(
        SessionStore(parts.db),
        store,
        parts.signer,
        clock,
        access=settings.access_lifetime,
        refresh=settings.refresh_lifetime,
    )
    mails = Throttle(clock, settings.attempts_per_email)
    accounts = Accounts(
        store,
        sessions,
        parts.passwords,
        links,
        clock,
        clients=Throttle(clock, settings.sign_ins_per_client),
        sign_ins=Throttle(clock, settings.attempts_per_email),
        mails=mails,
    )
    registration = Registration(
        store,
        parts.tenants,
        proofs,
        parts.passwords,
        links,
        clock,
        clients=Throttle(clock, settings.accounts_per_client),
        emails=mails,
    )
    tokens = ApiTokens(ApiTokenStore(parts.db), parts.signer, clock, lifetime=settings.exchange_lifetime)
    verifier = parts.host.verifier()
    return (
        PublicCalls(registration, accounts, sessions, proofs, lambda: json.dumps(verifier.jwks("commodore"))),
        OwnAccountCalls(accounts, sessions),
        TokenCalls(tokens),
    )


def _stream_calls(parts: _Parts) -> tuple[object, ...]:
    clock, lifetime, store = (
        parts.host.clock,
        parts.settings.attribution_lifetime,
        AdmissionStore(parts.db),
    )
    admissions = Admissions(store, parts.standings, parts.signer, clock, attribution=lifetime)
    streams = Streams(
        StreamStore(parts.db),
        parts.vault,
        parts.standings,
        clock,
        key_made=admissions.key_made,
        nudge=parts.outbox.nudge,
    )
    resolution = Resolution(
        ResolutionStore(parts.db),
        streams,
        admissions,
        store,
        parts.standings,
        parts.signer,
        clock,
        attribution=lifetime,
    )
    bootstrap = Bootstrap(AccountStore(parts.db), parts.tenants, parts.passwords, clock)
    return (
        StreamCalls(streams, admissions),
        NodeCalls(admissions, resolution),
        BootstrapCalls(bootstrap, streams),
    )


MODULE = Module("commodore", start, after=frozenset({"quartermaster", "purser"}), settings=(Settings,))
