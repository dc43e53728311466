"""NATS messages as bytes: what nats-py's own parser and writer say is what ours say."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from frameworks.kit.eventlog.nats_wire import (
    LARGEST_MESSAGE,
    LONGEST_LINE,
    Incoming,
    publication,
    record_headers,
    status_of,
)

Seen = tuple[Any, ...]
LISTENED = 7

tokens = st.from_regex(r"[A-Za-z0-9_$.-]{1,20}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_-]{1,12}|Nats-[A-Z][a-z]{1,5}|Nats-Msg-Id", fullmatch=True)
values = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["C"]), max_size=30
)
headers = st.dictionaries(names, values.map(str.strip), max_size=6)


class Told:
    """A client that remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, block: bytes | None
    ) -> None:
        self.seen.append((sid, subject, reply, data, block or b""))

    async def _process_ping(self) -> None:
        self.seen.append(("ping",))

    async def _process_pong(self) -> None:
        self.seen.append(("pong",))

    async def _process_info(self, info: object) -> None:
        self.seen.append(("info", info))

    async def _process_err(self, error: str) -> None:
        self.seen.append(("error", error))

    def take(self, subject: bytes, reply: bytes, block: bytes, payload: bytes) -> None:
        self.seen.append((LISTENED, subject, reply, payload, block))


def incoming(told: Told) -> Incoming:
    client: Any = told
    return Incoming(client, {LISTENED: told.take})


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """What a server may send."""
    kind = draw(st.sampled_from(["MSG", "HMSG", "PING", "PONG", "+OK", "INFO", "-ERR"]))
    if kind == "INFO":
        return b'INFO {"version":"2.15.1"}\r\n'
    if kind == "-ERR":
        return b"-ERR 'Permissions Violation'\r\n"
    if not kind.endswith("MSG"):
        return f"{kind}\r\n".encode()
    subject, reply, payload = (
        draw(tokens),
        draw(st.one_of(st.just(""), tokens)),
        draw(st.binary(max_size=200)),
    )
    block = b"NATS/1.0" + draw(st.binary(max_size=60)) if kind == "HMSG" else b""
    sizes = f"{len(block)} {len(block) + len(payload)}" if kind == "HMSG" else f"{len(payload)}"
    sid = draw(st.sampled_from([LISTENED, 8]))
    return (
        f"{kind} {subject} {sid} {reply}{' ' * bool(reply)}{sizes}\r\n".encode() + block + payload + b"\r\n"
    )


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(edge % (len(data) + 1) for edge in at), len(data)]
    return [data[first:last] for first, last in pairwise(edges)]


@given(st.lists(messages(), max_size=8), st.lists(st.integers(0, 5000), max_size=12))
async def test_however_it_arrives_it_is_what_nats_py_makes_of_it(sent: list[bytes], at: list[int]) -> None:
    data, ours, theirs = b"".join(sent), Told(), Told()
    parser = incoming(ours)
    for piece in cut(data, at):
        await parser.parse(piece)
    await Parser(theirs).parse(data)
    assert ours.seen == theirs.seen


@given(
    st.lists(
        st.one_of(
            messages(),
            st.binary(max_size=40),
            st.sampled_from(
                [b"MSG ", b"HMSG ", b"MSG a 7 ", b"HMSG a 7 5 ", b"\r\n", b"INFO {", b"PI", b"-1", b"9" * 30]
            ),
        ),
        max_size=10,
    ),
    st.lists(st.integers(0, 3000), max_size=6),
)
async def test_garbage_ends_the_connection_at_worst(sent: list[bytes], at: list[int]) -> None:
    parser = incoming(Told())
    try:
        for piece in cut(b"".join(sent), at):
            await parser.parse(piece)
    except ProtocolError:
        parser.reset()
        await parser.parse(b"PING\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a 7\r\n",
        b"MSG a seven 0\r\n\r\n",
        b"MSG a 7 -1\r\n\r\n",
        b"HMSG a 7 9 8\r\n",
        b"MSG a 7 b c 1\r\n",
        b"MSG a 7 " + b"9" * 5000 + b"\r\n",
        b"MSG a 7 %d\r\n" % (LARGEST_MESSAGE + 1),
        b"MSG a 7 1\r\nxyz",
        b"MSG\ta 7 1\r\n",
        b"SING\r\n",
        b"S" * 5000 + b"\r\n",
        b"INFO {\r\n",
        b"x" * (LONGEST_LINE + 1),
    ],
)
async def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await incoming(Told()).parse(line)


async def test_what_follows_a_reset_is_another_connection() -> None:
    told = Told()
    parser = incoming(told)
    await parser.parse(b"MSG a 7 10\r\nhalf")
    parser.reset()
    await parser.parse(b"MSG a 7 2\r\nok\r\n")
    assert told.seen == [(LISTENED, b"a", b"", b"ok", b"")]


async def test_a_reset_while_it_is_parsed_forgets_the_rest() -> None:
    class Resetting(Told):
        async def _process_ping(self) -> None:
            parser.reset()

    told = Resetting()
    parser = incoming(told)
    await parser.parse(b"PING\r\nMSG a 7 2\r\nno\r\nMSG a 7 9\r\nhalf")
    await parser.parse(b"MSG a 7 2\r\nok\r\n")
    assert told.seen == [(LISTENED, b"a", b"", b"ok", b"")]


class Written(Client):  # type: ignore[misc, unused-ignore]
    """A client that keeps what it would send."""

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        self.options["sent"] = bytes(cmd)


@given(
    tokens,
    tokens,
    st.dictionaries(names, st.from_regex(r"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True), max_size=5),
    st.binary(max_size=60),
)
async def test_what_is_sent_is_what_nats_py_sends(
    subject: str, reply: str, sent: dict[str, str], value: bytes
) -> None:
    sent.pop("Nats-Msg-Id", None)
    client = Written()
    for dedupe_id in ("", "one"):
        named = sent | ({"Nats-Msg-Id": dedupe_id} if dedupe_id else {})
        await client._send_publish(subject, reply, value, len(value), named or None)
        assert b"".join(publication(subject, reply, sent, dedupe_id, value)) == client.options["sent"]


async def block_of(sent: dict[str, str]) -> bytes:
    client = Written()
    await client._send_publish("a", "", b"", 0, sent)
    command: bytes = client.options["sent"]
    return command.partition(b"\r\n")[2][:-2]


@given(headers)
async def test_headers_are_what_nats_py_reads_without_those_of_the_server(sent: dict[str, str]) -> None:
    block = await block_of(sent)
    theirs = await Client()._process_headers(block) or {}
    kept = {
        name: value for name, value in theirs.items() if not name.startswith("Nats-") or name == "Nats-Msg-Id"
    }
    assert record_headers(block) == kept


@given(st.lists(st.text(st.sampled_from("aB-: \t\u00e9\u2003"), max_size=12), max_size=5))
async def test_headers_written_by_others_are_what_nats_py_reads(lines: list[str]) -> None:
    block = "\r\n".join(["NATS/1.0", *lines, "", ""]).encode()
    theirs = Client._parse_header_lines(block[10:])
    theirs.pop("", None)  # no header
    assert record_headers(block) == theirs


@given(st.binary(max_size=80))
def test_no_headers_are_too_broken_to_be_read(block: bytes) -> None:
    record_headers(block)
    status_of(block)


@given(st.integers(100, 999), st.sampled_from(["", "No Messages", "Exceeded MaxWaiting"]), st.booleans())
async def test_a_status_is_what_nats_py_reads(code: int, description: str, more: bool) -> None:
    after = "Nats-Last-Stream: 5\r\n" * (more and bool(description))
    block = f"{f'NATS/1.0 {code} {description}'.strip()}\r\n{after}\r\n".encode()
    theirs = await Client()._process_headers(block) or {}
    assert status_of(block) == (theirs["Status"], theirs.get("Description", ""))


def test_headers_without_a_status_tell_none() -> None:
    assert status_of(b"NATS/1.0\r\na: b\r\n\r\n") is None
