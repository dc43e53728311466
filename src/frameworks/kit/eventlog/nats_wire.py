"""NATS messages as bytes: what is sent, and what the pieces of a connection hold.

nats-py takes a message apart one header character at a time, and copies it four times. This is what every record goes
through, so it is ours.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

if TYPE_CHECKING:
    from nats.aio.client import Client

END = b"\r\n"
VERSION = b"NATS/1.0"
MESSAGE_ID = "Nats-Msg-Id"
BLANK = " \t\n\v\f\r"
LONGEST_LINE = 1024 * 1024
LARGEST_MESSAGE = 64 * 1024 * 1024


class Take(Protocol):
    """Gets each message of a subscription, at once; it must not raise."""

    def __call__(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes, /) -> None:
        """One message; `headers` is empty when it has none."""


def publication(
    subject: str, reply: str, headers: Mapping[str, str], dedupe_id: str, value: bytes
) -> tuple[bytes, bytes, bytes]:
    """A message to send, in pieces that copy no value; names and values are printable, see `Outgoing.check`."""
    if not headers and not dedupe_id:
        return f"PUB {subject} {reply} {len(value)}\r\n".encode(), value, END
    lines = "".join([f"{name}: {text}\r\n" for name, text in headers.items()])
    if dedupe_id:
        lines += f"{MESSAGE_ID}: {dedupe_id}\r\n"
    size = len(lines) + 12  # with the version before it and the empty line behind it
    head = f"HPUB {subject} {reply} {size} {size + len(value)}\r\nNATS/1.0\r\n{lines}\r\n"
    return head.encode("ascii"), value, END


def record_headers(block: bytes) -> dict[str, str]:
    """The headers of a record and `Nats-Msg-Id`; none of JetStream's other ones, nor what is no header."""
    text = block.decode("utf-8", "replace")
    lines = text.split("\r\n")[1:-2]
    try:
        headers = dict([line.split(": ", 1) for line in lines])
    except ValueError:
        return _carefully(lines)
    plain = " \r" not in text and ":  " not in text and "\t" not in text and all(map(_is_kept, headers))
    return headers if plain else _carefully(lines)


def _carefully(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and _is_kept(name.strip(BLANK)):
            headers[name.strip(BLANK)] = value.strip(BLANK)
    return headers


@lru_cache(maxsize=4096)
def _is_kept(name: str) -> bool:
    token = name.isascii() and ":" not in name and name.split() == [name]
    return token and (not name.startswith("Nats-") or name == MESSAGE_ID)


def status_of(block: bytes) -> tuple[str, str] | None:
    """The code and the description in a block of headers that tells a status."""
    line = block.partition(END)[0].decode("utf-8", "replace")
    code, _, description = line.removeprefix("NATS/1.0").strip().partition(" ")
    return (code, description) if code.isdigit() else None


class Incoming(Parser):
    """Cuts whole messages out of what arrives; what is no message is left to nats-py's parser."""

    _resets = 0

    def __init__(self, client: "Client", takes: Mapping[int, Take]) -> None:
        super().__init__(client)
        self._client = client
        self._takes = takes

    def reset(self) -> None:
        """Forget what came so far: another connection begins."""
        super().reset()
        self._held: list[bytes] = []
        self._missing = 0
        """Bytes until the message that is held back is whole; 0 while even its first line is not."""
        self._resets += 1

    async def parse(self, data: bytes = b"") -> None:
        """Hand on every message that is whole by now."""
        if not self._held:
            await self._cut(data, 0)
        elif len(data) < self._missing:
            self._held.append(data)
            self._missing -= len(data)
        else:
            resets, missing = self._resets, self._missing or len(data)
            held, self._held = [*self._held, data[:missing]], []
            await self._cut(b"".join(held), 0)
            if missing < len(data) and resets == self._resets:
                await self._cut(data, missing)

    async def _cut(self, data: bytes, at: int) -> None:
        resets = self._resets
        while at < len(data) and resets == self._resets:
            end = data.find(END, at)
            if end < 0:
                self._hold(data, at, 0)
                return
            if not data.startswith((b"HMSG ", b"MSG "), at):
                await self._obey(data[at : end + 2])
                at = end + 2
                continue
            fields, begin = data[at:end].split(), end + 2
            number, head, size = _numbers(fields)
            after = begin + size
            if after + 2 > len(data):
                self._hold(data, at, after + 2 - len(data))
                return
            if not data.startswith(END, after):
                raise ProtocolError("nats: a message is not as long as it said")
            reply = fields[3] if len(fields) == (6 if fields[0] == b"HMSG" else 5) else b""
            headers, payload = data[begin : begin + head], data[begin + head : after]
            take = self._takes.get(number)
            if take is None:
                await self._client._process_msg(number, fields[1], reply, payload, headers)
            else:
                take(fields[1], reply, headers, payload)
            at = after + 2

    async def _obey(self, line: bytes) -> None:
        try:
            await super().parse(line)
        except ValueError as error:
            raise ProtocolError("nats: a line that makes no sense") from error
        if self.buf or self.state != AWAITING_CONTROL_LINE:
            raise ProtocolError("nats: unknown protocol")

    def _hold(self, data: bytes, at: int, missing: int) -> None:
        if not missing and len(data) - at > LONGEST_LINE:
            raise ProtocolError("nats: a line without an end")
        self._held, self._missing = [data[at:]], missing


def _numbers(fields: list[bytes]) -> tuple[int, int, int]:
    """The subscription's number of a message, how long its headers are, and all of it."""
    with_headers = fields[0] == b"HMSG"
    try:
        number, head, size = int(fields[2]), int(fields[-2]) if with_headers else 0, int(fields[-1])
    except (ValueError, IndexError) as error:
        raise ProtocolError("nats: malformed MSG") from error
    if len(fields) - with_headers not in {4, 5} or not 0 <= head <= size <= LARGEST_MESSAGE:
        raise ProtocolError("nats: malformed MSG")
    return number, head, size
