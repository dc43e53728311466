"""Helmsman answers the recorded trigger exchanges: those of our own node, and the forms MistServer has besides."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helmsman_fakes import ADMITTED, VIEWABLE, Platform
from msgspec.structs import replace as replace_fields

from frameworks.kit.clock import FakeClock
from frameworks.kit.errors import Unavailable
from frameworks.kit.geo import Geo, Place
from frameworks.media.helmsman.api import MAX_BODY, PREFIX, TriggerDoor
from frameworks.media.helmsman.domain import Fact, expected_triggers
from frameworks.media.helmsman.service.outputs import Outputs
from frameworks.media.helmsman.service.publishers import Refused
from frameworks.media.helmsman.service.publishing import Publishing
from frameworks.media.helmsman.service.viewing import Viewing
from frameworks.media.mist.protocols.trigger import Action as NodeAction
from frameworks.media.mist.protocols.trigger import read_answer

FIXTURES = Path(__file__).parents[3] / "fixtures" / "mist_triggers"
SECRET = "5ec2e7"
INTERNAL = "q7w8e9r0t1y2u3i4o5p6a7s8d9f0g1h2"
PLAYBACK = "pb0123456789abcd"
KEY = "sk_" + "k3y0" * 8
NOT_CONFIGURED = {"default_stream", "stream_source"}
"""The node can fire these; Helmsman asks for neither, so whoever configured them is not us."""

RECORDED: dict[str, tuple[str, ...]] = {
    "push_rewrite": ("stream-ingest", "stream-lifecycle started"),
    "push_rewrite_rtmp_query": ("stream-ingest", "stream-lifecycle started"),
    "push_rewrite_rtmp_upper_case": ("stream-ingest", "stream-lifecycle started"),
    "push_rewrite_srt": ("stream-ingest", "stream-lifecycle started"),
    "push_rewrite_whip": ("stream-ingest", "stream-lifecycle started"),
    "push_rewrite_no_key": (),
    "play_rewrite": ("stream-view",),
    "play_rewrite_hls": ("stream-view",),
    "play_rewrite_runtime_name": (),
    "play_rewrite_after_denial": (),
    "user_new": ("user-connection connect",),
    "user_new_hls": ("user-connection connect",),
    "user_new_recheck": ("user-connection connect",),
    "user_new_metadata": (),
    "user_new_foreign_stream": (),
    "user_end": ("user-connection disconnect",),
    "user_end_hls": ("user-connection disconnect",),
    "user_end_denied": (),
    "user_end_metadata": (),
    "stream_buffer_full": ("stream-buffer FULL", "stream-lifecycle live"),
    "stream_buffer_full_unset_minima": ("stream-buffer FULL", "stream-lifecycle live"),
    "stream_buffer_dry": ("stream-buffer DRY",),
    "stream_buffer_dry_issues": ("stream-buffer DRY",),
    "stream_buffer_recover": ("stream-buffer RECOVER",),
    "stream_buffer_empty": ("stream-buffer EMPTY", "stream-lifecycle offline"),
    "stream_buffer_empty_bare": ("stream-buffer EMPTY", "stream-lifecycle offline"),
    "live_track_list": ("track-list",),
    "push_input_close": (),
    "push_input_close_intended": (),
    "push_input_close_other_pid": (),
    "stream_end": ("stream-lifecycle ended",),
    "stream_end_totals": ("stream-lifecycle ended",),
    "push_out_start_rtmp": ("push-lifecycle starting",),
    "push_out_start_file": ("recording-lifecycle started",),
    "push_end_clean": ("push-lifecycle ended",),
    "push_end_failed": ("push-lifecycle failed",),
    "recording_segment": ("recording-lifecycle progress",),
    "recording_end": ("recording-lifecycle ready",),
}
BEFORE = {"user_end": "user_new", "user_end_hls": "user_new_hls", "user_end_metadata": "user_new_metadata"}
"""What must have happened before, beside a publisher being on air."""


@dataclass(frozen=True)
class Exchange:
    """A recorded request, and the answer when one was waited for."""

    trigger: str
    headers: dict[str, str]
    body: bytes
    answer: dict[str, Any] | None


@dataclass(frozen=True)
class Reply:
    """What the node gets back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def action(self) -> str | None:
        return self.headers.get("x-mist-trigger-action")


def _paths() -> Iterator[Path]:
    yield from sorted(FIXTURES.glob("*.json"))
    yield from sorted(FIXTURES.glob("mistserver/*.json"))


def _exchange(path: Path) -> Exchange:
    told = json.loads(path.read_text())
    request = told["request"]
    return Exchange(
        request["headers"]["X-Trigger"], request["headers"], request["body"].encode(), told.get("answer")
    )


EXCHANGES = {path.stem: _exchange(path) for path in _paths()}
ANSWERED = sorted(EXCHANGES.keys() - NOT_CONFIGURED)


class Netherlands(Geo):
    """Puts one documentation address on the map."""

    def place(self, address: str) -> Place | None:
        return Place("NL", "Utrecht", 1, 52.0, 5.0) if address == "198.51.100.4" else None


class Door:
    """Helmsman's trigger door as raw ASGI, the platform around it played by fakes."""

    def __init__(self, platform: Platform | None = None) -> None:
        self.platform = platform or Platform()
        self.platform.answer = replace_fields(ADMITTED, internal_name=INTERNAL)
        self.platform.viewable = replace_fields(VIEWABLE, internal_name=INTERNAL, playback_id=PLAYBACK)
        clock, geo = FakeClock(), Netherlands(None)
        self.publishing = Publishing(self.platform, self.platform, self.platform, self.platform, geo, clock)
        self.viewing = Viewing(
            self.platform, self.platform, self.platform, geo, clock, node="node-1", hash_key=b"k"
        )
        outputs = Outputs(self.publishing, self.platform, clock)
        self._app = TriggerDoor(SECRET, self.publishing, self.viewing, outputs)

    async def fire(self, exchange: Exchange, **changes: Any) -> Reply:
        """Send the exchange's request, `changes` made to it."""
        exchange = replace(exchange, **changes)
        path = f"{PREFIX}{SECRET}/{exchange.trigger.lower()}"
        return await self.request(path, exchange.body, exchange.headers)

    async def request(
        self,
        path: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        method: str = "POST",
        whole: bool = True,
    ) -> Reply:
        """One request; without `whole` the connection is lost before the body's end."""
        sent: list[dict[str, Any]] = []
        half = len(body) // 2
        messages = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:], "more_body": False}
            if whole
            else {"type": "http.disconnect"},
        ]

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw}
        await self._app(scope, receive, send)
        start, content = sent
        given = {name.decode(): value.decode() for name, value in start["headers"]}
        assert given["content-length"] == str(len(content["body"]))
        return Reply(start["status"], given, content["body"])

    async def prepare(self, name: str) -> None:
        """Bring about what the exchange presupposes, and forget what was recorded on the way."""
        if EXCHANGES[name].trigger not in ("PUSH_REWRITE", "PLAY_REWRITE"):
            await self.fire(EXCHANGES["push_rewrite"])
        if name in BEFORE:
            await self.fire(EXCHANGES[BEFORE[name]])
        self.platform.facts.clear()

    def recorded(self) -> tuple[str, ...]:
        """Kinds of the facts with what they say happened."""
        return tuple(_told(fact) for fact in self.platform.facts)


def _told(fact: Fact) -> str:
    said = fact.body.get("action") or fact.body.get("state") or ""
    return f"{fact.kind} {said}".strip()


@pytest.fixture
def door() -> Door:
    return Door()


def test_every_recorded_exchange_is_replayed() -> None:
    assert set(RECORDED) == set(ANSWERED)


@pytest.mark.parametrize("name", ANSWERED)
async def test_the_node_is_answered_as_recorded(door: Door, name: str) -> None:
    exchange = EXCHANGES[name]
    await door.prepare(name)
    reply = await door.fire(exchange)
    assert reply.status == 200
    if exchange.answer is None:
        assert (reply.action, reply.body) == (None, b"")
    else:
        assert reply.action == exchange.answer["headers"]["X-Mist-Trigger-Action"]
        assert reply.body.decode() == exchange.answer["body"]


@pytest.mark.parametrize("name", ANSWERED)
async def test_what_happened_is_recorded_with_its_owner_and_nobodys_address(door: Door, name: str) -> None:
    await door.prepare(name)
    await door.fire(EXCHANGES[name])
    assert door.recorded() == RECORDED[name]
    told = repr(door.platform.facts)
    assert KEY not in told
    assert "198.51.100.4" not in told
    assert "192.0.2.7" not in told
    for fact in door.platform.facts:
        assert fact.subject.tenant_id == ADMITTED.tenant_id
        assert fact.subject.attribution in ("attr-ingest", "attr-view")
        assert fact.at // 1000 == int(EXCHANGES[name].headers["X-Trigger-UnixMillis"])


@pytest.mark.parametrize("name", sorted(name for name in ANSWERED if EXCHANGES[name].answer))
async def test_both_dialects_say_the_same(door: Door, name: str) -> None:
    await door.prepare(name)
    exchange = EXCHANGES[name]
    reply = await door.fire(exchange)
    body = reply.body.decode()
    typed = read_answer(exchange.trigger, reply.action, "", body)
    stock = read_answer(exchange.trigger, None, "", body)
    taken = {NodeAction.KEEP: NodeAction.VALUE}
    assert taken.get(typed.action, typed.action) is stock.action
    assert typed.value == stock.value


@pytest.mark.parametrize(
    "name",
    ["push_rewrite", "user_new", "stream_buffer_full", "stream_end", "recording_segment", "push_end_clean"],
)
async def test_a_firing_told_twice_is_recorded_under_one_id(door: Door, name: str) -> None:
    await door.prepare(name)
    await door.fire(EXCHANGES[name])
    once = {fact.event_id for fact in door.platform.facts}
    await door.fire(EXCHANGES[name], headers=EXCHANGES[name].headers | {"X-Attempt": "2"})
    assert {fact.event_id for fact in door.platform.facts} == once


@pytest.mark.parametrize("name", sorted(NOT_CONFIGURED))
async def test_a_trigger_helmsman_does_not_ask_for_is_unknown_to_it(door: Door, name: str) -> None:
    exchange = EXCHANGES[name]
    assert exchange.trigger not in expected_triggers("http://127.0.0.1:1")
    assert (await door.fire(exchange)).status == 404
    assert door.platform.facts == []


async def test_a_refused_publisher_is_refused_in_both_dialects_with_the_reason(door: Door) -> None:
    door.platform.answer = Refused("DUPLICATE_INGEST", "Somebody publishes already.")
    reply = await door.fire(EXCHANGES["push_rewrite"])
    assert (reply.status, reply.action, reply.body) == (200, "deny", b"")
    assert reply.headers["x-mist-trigger-reason"] == "Somebody publishes already."


async def test_a_reason_that_is_not_ascii_still_fits_a_header(door: Door) -> None:
    door.platform.answer = Refused("SUSPENDED", "Straße gesperrt")
    assert (await door.fire(EXCHANGES["push_rewrite"])).headers["x-mist-trigger-reason"] == "Stra?e gesperrt"


async def test_a_refused_viewer_is_refused_in_both_dialects(door: Door) -> None:
    door.platform.viewable = None
    reply = await door.fire(EXCHANGES["user_new"])
    assert (reply.status, reply.action, reply.body) == (200, "deny", b"false")
    reply = await door.fire(EXCHANGES["play_rewrite"])
    assert (reply.status, reply.action, reply.body) == (200, "deny", b"")


@pytest.mark.parametrize(
    "path", [f"{PREFIX}wrong/push_rewrite", f"{PREFIX}/push_rewrite", "/push_rewrite", "/"]
)
async def test_without_the_secret_there_is_nothing_here(door: Door, path: str) -> None:
    reply = await door.request(path, EXCHANGES["push_rewrite"].body)
    assert (reply.status, reply.action) == (404, None)
    assert door.platform.facts == []


async def test_only_a_post_is_a_trigger(door: Door) -> None:
    reply = await door.request(f"{PREFIX}{SECRET}/push_rewrite", b"", method="GET")
    assert reply.status == 404


async def test_a_body_over_the_limit_is_refused(door: Door) -> None:
    reply = await door.fire(EXCHANGES["live_track_list"], body=b"x" * (MAX_BODY + 1))
    assert reply.status == 413
    assert door.platform.facts == []


async def test_half_a_trigger_is_none(door: Door) -> None:
    exchange = EXCHANGES["push_rewrite"]
    path = f"{PREFIX}{SECRET}/push_rewrite"
    reply = await door.request(path, exchange.body, exchange.headers, whole=False)
    assert reply.status == 400
    assert door.platform.facts == []


@pytest.mark.parametrize("name", ["push_rewrite", "user_new", "stream_buffer_full"])
async def test_a_body_that_is_no_text_is_refused_in_both_dialects(door: Door, name: str) -> None:
    reply = await door.fire(EXCHANGES[name], body=b"\xff\xfe")
    assert (reply.status, reply.action) == (400, "deny")


async def test_a_user_agent_that_is_no_text_does_not_hide_a_viewer_from_the_bill(door: Door) -> None:
    await door.prepare("user_end")
    exchange = EXCHANGES["user_end"]
    await door.fire(exchange, body=exchange.body.replace(b"TestViewer", b"Test\xffViewer"))
    assert door.platform.facts[-1].body["up_bytes"] == 6528195


@pytest.mark.parametrize("name", ["push_rewrite", "user_new", "stream_buffer_full", "live_track_list"])
async def test_missing_lines_are_refused(door: Door, name: str) -> None:
    await door.prepare(name)
    exchange = EXCHANGES[name]
    reply = await door.fire(exchange, body=exchange.body.partition(b"\n")[0])
    assert (reply.status, reply.action) == (400, "deny")
    assert door.platform.facts == []


async def test_a_health_object_that_is_none_is_refused(door: Door) -> None:
    await door.prepare("stream_buffer_full")
    reply = await door.fire(EXCHANGES["stream_buffer_full"], body=f"live+{INTERNAL}\nFULL\n{{".encode())
    assert reply.status == 400


@pytest.mark.parametrize("millis", ["²", "", "-1", "9" * 5000])
async def test_a_time_that_is_none_is_now(door: Door, millis: str) -> None:
    exchange = EXCHANGES["push_rewrite"]
    reply = await door.fire(exchange, headers=exchange.headers | {"X-Trigger-UnixMillis": millis})
    assert reply.status == 200
    assert door.platform.facts[0].at == 1_767_225_600_000_000


class FullDisk(Platform):
    """A write-ahead log with no room."""

    async def record(self, *facts: Fact, noted: msgspec.Struct | None = None) -> None:
        raise Unavailable("The disk is full.")


async def test_a_full_disk_lets_the_nodes_own_rule_decide() -> None:
    door = Door(FullDisk())
    reply = await door.fire(EXCHANGES["user_new"])
    assert (reply.status, reply.action, reply.body) == (503, None, b"")
    assert door.viewing.sessions == {}


async def test_an_srt_publishers_mapped_address_has_a_place(door: Door) -> None:
    await door.fire(EXCHANGES["push_rewrite_srt"])
    ingest = door.platform.facts[0].body
    assert ingest["protocol"] == "SRT"
    assert ingest["place"]["country"] == "NL"


async def test_the_sessions_figures_are_those_mistserver_told(door: Door) -> None:
    await door.prepare("user_end_hls")
    await door.fire(EXCHANGES["user_end_hls"])
    body = door.platform.facts[-1].body
    figures = (body["seconds"], body["up_bytes"], body["down_bytes"])
    assert figures == (62, 6_528_195, 5_012)
    assert (body["connector"], body["user_agent"]) == ("HLS", "TestViewer/1.0")


async def test_a_minimum_not_seen_is_no_fault_of_the_streamer(door: Door) -> None:
    await door.prepare("stream_buffer_full_unset_minima")
    await door.fire(EXCHANGES["stream_buffer_full_unset_minima"])
    body = door.platform.facts[0].body
    assert (body["issues"], body["health_score"]) == ([], 100)


async def test_the_end_of_another_connection_keeps_the_claim(door: Door) -> None:
    await door.prepare("push_input_close_other_pid")
    await door.fire(EXCHANGES["push_input_close_other_pid"])
    assert door.platform.released == []
    await door.fire(EXCHANGES["push_input_close_intended"])
    assert [epoch for _, epoch, _ in door.platform.released] == [ADMITTED.epoch]
