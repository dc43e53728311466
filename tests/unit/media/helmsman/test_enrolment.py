"""Enrolment: the token is spent once, the certificate outlives restarts and is renewed before its end."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from frameworks.kit.clock import FakeClock, micros
from frameworks.kit.errors import Forbidden, Unavailable
from frameworks.kit.identity import NodeIdentity
from frameworks.media.helmsman.service.enrolment import Certificate, Enrolment

DAY = 24 * 3600


@dataclass
class Registry:
    """Quartermaster: certificates of a day, numbered."""

    clock: FakeClock
    away: bool = False
    refuses: bool = False
    enrolled: list[tuple[str, str]] = field(default_factory=list)
    renewed: int = 0

    async def enrol(self, token: str, public_key: str) -> Certificate:
        if self.away:
            raise Unavailable("away")
        self.enrolled.append((token, public_key))
        if self.refuses:
            raise Forbidden("The token is spent.")
        return self._certificate("first")

    async def renew(self, node: NodeIdentity) -> Certificate:
        if self.away:
            raise Unavailable("away")
        self.renewed += 1
        return self._certificate(f"renewed-{self.renewed}")

    def _certificate(self, name: str) -> Certificate:
        return Certificate(name, micros(self.clock.now()) + DAY * 1_000_000, "default", "owner")


@dataclass
class Files:
    """The node's directory, in memory."""

    left: str = ""
    kept: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> str | None:
        return self.kept.get(name)

    def write(self, name: str, text: str) -> None:
        self.kept[name] = text

    def token(self) -> str:
        return self.left

    def spend_token(self) -> None:
        self.left = ""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    return Registry(clock)


@pytest.fixture
def files() -> Files:
    return Files(left="enrol-me")


def enrolment(registry: Registry, files: Files) -> Enrolment:
    return Enrolment(registry, files, registry.clock, "node-1")


async def test_a_token_becomes_a_certificate_and_is_spent(registry: Registry, files: Files) -> None:
    node, certificate = await enrolment(registry, files).wait()
    assert (certificate.certificate, certificate.cluster_id) == ("first", "default")
    assert node.certificate == "first"
    assert files.left == ""
    assert [token for token, _ in registry.enrolled] == ["enrol-me"]


async def test_only_the_public_half_of_the_key_leaves_the_node(registry: Registry, files: Files) -> None:
    await enrolment(registry, files).wait()
    [(_, public)] = registry.enrolled
    assert "d" not in json.loads(public)
    assert "d" in json.loads(files.kept["node.pem"])


async def test_a_restart_uses_the_certificate_and_key_it_has(registry: Registry, files: Files) -> None:
    await enrolment(registry, files).wait()
    key = files.kept["node.pem"]
    registry.away = True
    node, _ = await enrolment(registry, files).wait()
    assert (node.certificate, files.kept["node.pem"], len(registry.enrolled)) == ("first", key, 1)


async def test_a_node_waits_for_its_token_and_for_quartermaster(
    registry: Registry, files: Files, clock: FakeClock
) -> None:
    files.left, registry.away = "", True
    waiting = asyncio.create_task(enrolment(registry, files).wait())
    await clock.advance(1)
    files.left = "late"
    await clock.advance(1)
    assert not waiting.done()
    assert files.left == "late"
    registry.away = False
    await clock.advance(1)
    assert (await waiting)[1].certificate == "first"


async def test_a_refused_token_is_kept_and_tried_again_seldom(
    registry: Registry, files: Files, clock: FakeClock
) -> None:
    registry.refuses = True
    waiting = asyncio.create_task(enrolment(registry, files).wait())
    await clock.advance(11)
    assert len(registry.enrolled) <= 3
    assert files.left == "enrol-me"
    registry.refuses = False
    await clock.advance(6)
    await waiting
    assert files.left == ""


async def test_an_expired_certificate_needs_a_new_token(
    registry: Registry, files: Files, clock: FakeClock
) -> None:
    await enrolment(registry, files).wait()
    await clock.advance(DAY + 1)
    waiting = asyncio.create_task(enrolment(registry, files).wait())
    await clock.advance(2)
    assert not waiting.done()
    files.left = "again"
    await clock.advance(1)
    await waiting
    assert [token for token, _ in registry.enrolled] == ["enrol-me", "again"]


async def test_a_certificate_is_renewed_in_the_second_half_of_its_life(
    registry: Registry, files: Files, clock: FakeClock
) -> None:
    enrolling = enrolment(registry, files)
    node, _ = await enrolling.wait()
    await enrolling.renew()
    assert (registry.renewed, node.certificate) == (0, "first")
    await clock.advance(DAY / 2 + 1)
    await enrolling.renew()
    await enrolling.renew()
    assert (registry.renewed, node.certificate) == (1, "renewed-1")
    assert "renewed-1" in files.kept["certificate.json"]


async def test_while_quartermaster_is_away_the_old_certificate_serves(
    registry: Registry, files: Files, clock: FakeClock
) -> None:
    enrolling = enrolment(registry, files)
    node, _ = await enrolling.wait()
    await clock.advance(DAY / 2 + 1)
    registry.away = True
    with pytest.raises(Unavailable):
        await enrolling.renew()
    assert node.certificate == "first"
