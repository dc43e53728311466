"""Rules of Commodore's domain: addresses, sessions, scopes, sealed keys, mails, throttles."""

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts.ids import INTERNAL_NAME, PLAYBACK_ID, STREAM_KEY
from frameworks.contracts.permissions.commodore import RULES
from frameworks.control.commodore.api import SERVICE
from frameworks.control.commodore.domain import admission, claims
from frameworks.control.commodore.domain.accounts import SCOPES_OF_ROLE, Invalid, email
from frameworks.control.commodore.domain.letters import LetterKind, Mail, words
from frameworks.control.commodore.domain.streams import new_internal_name, new_playback_id, new_stream_key
from frameworks.control.commodore.domain.tokens import RACE, RefreshToken, Verdict, judge, scopes, with_reads
from frameworks.control.commodore.peers.mail import server
from frameworks.control.commodore.service.passwords import Busy, Passwords
from frameworks.control.commodore.service.throttle import Throttle, TooOften
from frameworks.control.commodore.service.vault import Vault, WrongDataKey, data_key
from frameworks.kit.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = RefreshToken(
    id=UUID(int=1),
    user_id=UUID(int=2),
    family=UUID(int=3),
    parent=None,
    token_hash="h",
    issued_at=NOW,
    expires_at=NOW + timedelta(days=30),
)


@pytest.mark.parametrize("text", ["Ann@Example.org ", "a.b+c@sub.example.co.uk", "root@localhost"])
def test_addresses_are_kept_in_one_form(text: str) -> None:
    assert email(text) == text.strip().lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@example.org",
        "ann@",
        "a@b@c",
        "ann@exa mple.org",
        "ann@example..org",
        "a\nb@c.de",
        "a" * 300,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        email(text)


@given(st.text(alphabet="ab.-@", max_size=254))
def test_an_address_is_kept_in_one_form_or_refused(text: str) -> None:
    with suppress(Invalid):
        assert email(email(text)) == email(text)


def test_a_fresh_refresh_token_is_rotated() -> None:
    assert judge(TOKEN, successor_used=False, now=NOW) is Verdict.ROTATE


@pytest.mark.parametrize(
    ("age", "successor_used", "verdict"),
    [
        (RACE, True, Verdict.ROTATE),
        (RACE + timedelta(seconds=1), True, Verdict.REVOKE),
        (RACE + timedelta(seconds=1), False, Verdict.RECOVER),
        (timedelta(days=31), False, Verdict.REFUSE),
    ],
)
def test_a_replay_is_judged_by_age_and_successor(
    age: timedelta, successor_used: bool, verdict: Verdict
) -> None:
    used = replace(TOKEN, rotated_at=NOW)
    assert judge(used, successor_used=successor_used, now=NOW + age) is verdict


def test_a_revoked_token_is_refused() -> None:
    revoked = replace(TOKEN, revoked_at=NOW)
    assert judge(revoked, successor_used=False, now=NOW) is Verdict.REFUSE


def test_writing_includes_reading_for_every_role_too() -> None:
    for held in SCOPES_OF_ROLE.values():
        assert with_reads(held) == held


def test_a_token_carries_no_scope_its_maker_lacks() -> None:
    with pytest.raises(Invalid):
        scopes(["streams:write"], SCOPES_OF_ROLE["viewer"])
    assert scopes(["streams:write"], SCOPES_OF_ROLE["member"]) == {"streams:read", "streams:write"}


def test_names_of_streams_have_their_forms() -> None:
    assert STREAM_KEY.fullmatch(new_stream_key())
    assert PLAYBACK_ID.fullmatch(new_playback_id())
    assert INTERNAL_NAME.fullmatch(new_internal_name())


def test_every_reason_has_a_sentence() -> None:
    reasons = {
        value
        for module in (admission, claims)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch("[A-Z_]+", value)
    }
    assert reasons == admission.SENTENCES.keys()


def test_a_sealed_key_opens_under_its_own_id_only() -> None:
    vault = Vault(b"k" * 32)
    sealed = vault.seal(UUID(int=1), "sk_secret")
    assert vault.open(UUID(int=1), sealed) == "sk_secret"
    assert b"secret" not in sealed
    with pytest.raises(WrongDataKey):
        vault.open(UUID(int=2), sealed)
    with pytest.raises(WrongDataKey):
        Vault(b"x" * 32).open(UUID(int=1), sealed)


def test_the_data_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "data.key"
    made = data_key(path)
    assert data_key(path) == made
    assert len(made) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", list(LetterKind))
def test_every_mail_has_a_subject_and_a_link(kind: LetterKind) -> None:
    mail = Mail(kind=kind, to="a@b.c", token="t0ken", expires_at=NOW)
    subject, text = words(mail, "https://example.org/")
    assert subject
    assert "https://example.org/" in text
    assert "org//" not in text


async def test_a_throttle_lets_a_few_through_and_forgets_in_time() -> None:
    clock = FakeClock()
    throttle = Throttle(clock, 2, size=2)
    throttle.count("a")
    throttle.count("a")
    with pytest.raises(TooOften):
        throttle.count("a")
    throttle.count("b")
    await clock.advance(15 * 60)
    throttle.count("a")


async def test_passwords_are_checked_and_an_unknown_account_never_matches() -> None:
    passwords = Passwords(memory_kib=64, workers=1)
    kept = await passwords.hash("secret")
    assert await passwords.verify(kept, "secret")
    assert not await passwords.verify(kept, "Secret")
    assert not await passwords.verify(None, "secret")
    assert not await passwords.verify("garbage", "secret")
    assert not passwords.is_outdated(kept)
    other = Passwords(memory_kib=128, workers=1)
    assert other.is_outdated(kept)
    for each in (passwords, other):
        each.close()


async def test_the_hash_of_nobody_costs_what_a_real_one_costs() -> None:
    passwords = Passwords(memory_kib=64, workers=1)
    assert not passwords.is_outdated(passwords._nobody)
    passwords.close()


async def test_too_many_waiting_passwords_are_refused() -> None:
    passwords = Passwords(memory_kib=64, workers=1)
    passwords._free = 0
    with pytest.raises(Busy):
        await passwords.verify(None, "x")
    passwords.close()


def test_a_mail_servers_url_says_all() -> None:
    where = server("smtps://us%40er:p%3Aw@mail.example.org?starttls=1")
    assert (where.host, where.port, where.user, where.password) == ("mail.example.org", 465, "us@er", "p:w")
    assert where.tls
    assert where.starttls
    assert server("smtp://127.0.0.1:1025").port == 1025
    with pytest.raises(ValueError, match="not a mail server"):
        server("http://example.org")


def test_every_call_of_the_contract_has_a_rule() -> None:
    assert {method.name for method in SERVICE.methods} == RULES.keys()
