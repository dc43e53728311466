"""`frameworks dlq`: what no one could read, looked at and sent again."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from frameworks.cli import running
from frameworks.contracts.topics import DEAD_LETTERS, UNREADABLE_EVENTS
from frameworks.data.periscope.service.dead_letters import DeadLetter, DeadLetterOffice, Wanted
from frameworks.kit import eventlog, log
from frameworks.kit.clock import SystemClock, from_micros, random_text
from frameworks.kit.errors import Refusal
from frameworks.kit.eventlog import EventLog, Outgoing, Retention, UnknownTopic

REPLAYED = "dead_letters_replayed"
"""A record for each letter that was sent again; kept as long as the letters."""
KEPT = Retention(max_age=timedelta(days=90))
SPAN = re.compile(r"(\d{1,6})([smhd])")

app = typer.Typer(help="Dead letters: what no one could read, and sending it again.", no_args_is_help=True)
DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Of the platform; FRAMEWORKS_EVENTLOG goes before it.")
]
Regions = Annotated[
    list[str], typer.Option("--region", help="A region whose dead letters are mirrored here too.")
]
Topic = Annotated[str | None, typer.Option(help="Only letters that came from this topic.")]
Tenant = Annotated[str | None, typer.Option(help="Only letters of this tenant.")]
Reason = Annotated[str | None, typer.Option(help="Only letters whose reason has these words.")]
Since = Annotated[str | None, typer.Option(help="Only letters since then: 2h, 3d or 2026-01-31T12:00.")]
HERE = Path(".frameworks")


class BadSince(Refusal):
    """A time that is none."""

    code = "dlq.bad_since"


class LogBox:
    """Dead letters in the event log, of this region and of mirrored ones."""

    def __init__(self, log_: EventLog, regions: Sequence[str] = ()) -> None:
        self._log = log_
        self._topics = [name for r in ("", *regions) for name in _named(r)]

    async def letters(self) -> AsyncIterator[DeadLetter]:
        """Every letter, oldest first in each topic."""
        replayed = {
            record.headers["letter"]: record.headers["at"] async for record in _records(self._log, REPLAYED)
        }
        for topic in self._topics:
            async for record in _records(self._log, topic):
                identity = f"{record.topic}/{record.partition}/{record.offset}"
                yield DeadLetter(
                    identity,
                    record.value,
                    record.headers,
                    from_micros(record.timestamp_us),
                    replayed.get(identity, ""),
                )

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Append them to the topics they came from, and remember that."""
        await self._log.publish([_original(letter) for letter in letters])
        await self._log.ensure(REPLAYED, partitions=1, retention=KEPT)
        at = SystemClock().now().isoformat(timespec="seconds")
        await self._log.publish(
            [Outgoing(REPLAYED, 0, b"", {"letter": letter.id, "at": at}) for letter in letters]
        )


def _named(region: str) -> list[str]:
    return [f"{region}.{topic}" if region else topic for topic in (DEAD_LETTERS, UNREADABLE_EVENTS)]


async def _records(log_: EventLog, topic: str) -> AsyncIterator[Any]:
    """Every record of a topic; none when there is no such topic."""
    try:
        async for record in log_.replay(topic):
            yield record
    except UnknownTopic:
        return


def _original(letter: DeadLetter) -> Outgoing:
    topic, partition, _ = letter.origin.rsplit("/", 2)
    return Outgoing(
        topic, int(partition), letter.value, letter.original_headers(), f"replay-{random_text(24)}"
    )


@app.command("list")
def list_(
    data_dir: DataDir = HERE,
    topic: Topic = None,
    tenant: Tenant = None,
    reason: Reason = None,
    since: Since = None,
    region: Regions = [],  # noqa: B006
    limit: Annotated[int, typer.Option(help="The newest so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List dead letters, oldest first."""
    wanted = Wanted(None, topic, tenant, reason, parse_since(since))
    found = _ask(data_dir, region, lambda office: office.list(wanted, limit))
    if as_json:
        typer.echo(json.dumps([_summary(letter) for letter in found]))
        return
    table = Table("Letter", "Buried", "From", "Tenant", "Reason", "Bytes", "Replayed")
    for letter in found:
        table.add_row(*(str(value) for value in _summary(letter).values()))
    Console().print(table)


@app.command("show")
def show(
    letter: Annotated[str, typer.Argument(help="Its id, as `frameworks dlq list` says it.")],
    data_dir: DataDir = HERE,
    region: Regions = [],  # noqa: B006
) -> None:
    """Show one dead letter: headers, where it came from, what of it can be read, and its bytes."""
    found = _ask(data_dir, region, lambda office: office.show(letter))
    typer.echo(json.dumps(_summary(found), indent=2))
    typer.echo(json.dumps(found.original_headers(), indent=2))
    typer.echo(_read(found.value))
    for start in range(0, len(found.value), 16):
        row = found.value[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        typer.echo(f"{start:08x}  {row.hex(' '):<47}  {shown}")


@app.command("replay")
def replay(
    letters: Annotated[list[str], typer.Argument(help="Ids; all that match the filters when left out.")] = [],  # noqa: B006
    data_dir: DataDir = HERE,
    topic: Topic = None,
    tenant: Tenant = None,
    reason: Reason = None,
    since: Since = None,
    region: Regions = [],  # noqa: B006
    again: Annotated[bool, typer.Option("--again", help="Those too that were replayed before.")] = False,
) -> None:
    """Append dead letters to the topics they came from, with their bytes and headers, each once."""
    wanted = Wanted(frozenset(letters) if letters else None, topic, tenant, reason, parse_since(since))
    done = _ask(data_dir, region, lambda office: office.replay(wanted, again=again))
    typer.echo(f"Replayed {done.sent}.")
    if done.before:
        typer.echo(f"Left out {done.before} that were replayed before; --again sends them too.")
    if done.homeless:
        typer.echo(f"Left out {done.homeless} that do not say which topic they came from.")


def _ask(data: Path, regions: Sequence[str], work: Callable[[DeadLetterOffice], Awaitable[Any]]) -> Any:
    """Run one piece of work over the event log."""
    import asyncio

    log.setup("ERROR")

    async def run() -> Any:
        async with _office(data, regions) as office:
            return await work(office)

    return asyncio.run(run())


@asynccontextmanager
async def _office(data: Path, regions: Sequence[str]) -> AsyncIterator[DeadLetterOffice]:
    connected = await eventlog.connect(running.eventlog(data), name="cli")
    try:
        yield DeadLetterOffice(LogBox(connected, regions))
    finally:
        await connected.close()


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter": letter.id,
        "buried_at": letter.buried_at.isoformat(timespec="seconds"),
        "origin": letter.origin,
        "tenant": letter.tenant,
        "reason": letter.reason,
        "bytes": len(letter.value),
        "replayed": letter.replayed,
    }


def _read(value: bytes) -> str:
    """As much as a protobuf reader makes of it."""
    from google.protobuf.json_format import MessageToJson
    from google.protobuf.message import DecodeError

    from frameworks.contracts.pb.events_v1_pb2 import EventBatch

    try:
        return MessageToJson(EventBatch.FromString(value), preserving_proto_field_name=True)
    except (DecodeError, ValueError) as error:
        return f"Not an event: {error}"


def parse_since(text: str | None) -> datetime | None:
    """A span before now, or a time; UTC when it does not say otherwise."""
    if text is None:
        return None
    if found := SPAN.fullmatch(text):
        units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
        return SystemClock().now() - timedelta(**{units[found[2]]: int(found[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadSince(f"{text!r} is no time: write 2h, 3d or 2026-01-31T12:00.") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
