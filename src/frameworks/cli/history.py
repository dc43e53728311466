"""`frameworks periscope`: history computed again from facts."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from frameworks.cli import running
from frameworks.cli.letters import parse_since
from frameworks.data.periscope.config import Settings
from frameworks.data.periscope.service.closing import Closer
from frameworks.data.periscope.service.ingest import NoState
from frameworks.data.periscope.service.rebuild import Compared, Rebuild
from frameworks.data.periscope.service.roll_up import Alone, RollUp
from frameworks.data.periscope.store.closing import ClickHouseSessions
from frameworks.data.periscope.store.marks import ClickHouseMarks
from frameworks.data.periscope.store.rebuild import ClickHouseShadows
from frameworks.data.periscope.store.roll_ups import ClickHouseRollUps
from frameworks.data.periscope.store.tables import declared
from frameworks.kit import analytics, config, log
from frameworks.kit.clock import SystemClock, micros

app = typer.Typer(help="History.", no_args_is_help=True)
_out = Console()


@app.callback()
def _group() -> None:
    """History."""


@app.command("rebuild")
def rebuild(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Of the platform; FRAMEWORKS_ANALYTICS goes before it.")
    ] = Path(".frameworks"),
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's history.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only from then: 2d or 2026-01-31; as far as facts reach when left out."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write what differs.")] = False,
) -> None:
    """Compute every roll-up again from facts and compare it with what stands; exit code 1 when they differ."""
    log.setup("ERROR")
    found = asyncio.run(_rebuilt(data_dir, _tenant(tenant), since, replace=replace))
    _show(found)
    differing = sum(one.differing for one in found)
    if differing and replace:
        _out.print(f"Replaced {differing} rows.")
    elif differing:
        _out.print(f"[bold red]✗[/] {differing} rows differ; --replace writes what facts say.")
        raise typer.Exit(1)
    else:
        _out.print("Every row is what facts say.")


async def _rebuilt(
    data: Path, tenant: UUID | None, since: str | None, *, replace: bool
) -> Sequence[Compared]:
    begun, asked = SystemClock().now(), parse_since(since)
    store = await analytics.connect(running.analytics(data))
    try:
        store.declare(*declared())
        await store.migrate("frameworks.data.periscope")
        silent_after: timedelta = config.load(Settings, config.environment()).silent_after
        roll_ups = ClickHouseRollUps(store, lambda: begun, silent_after=silent_after)
        marks = ClickHouseMarks(store)
        sessions = ClickHouseSessions(store, lambda: begun, silent_after=silent_after)
        closer = Closer(sessions, marks, RollUp(marks, roll_ups, Alone()), NoState())
        shadows = ClickHouseShadows(store, lambda: begun, silent_after=silent_after)
        with Progress(console=_out, transient=True) as bar:
            shown: TaskID = bar.add_task("rolling up", total=None)

            def progress(kind: str, done: int, of: int) -> None:
                bar.update(shown, description=kind.replace("_", " "), completed=done, total=of)

            work = Rebuild(shadows, closer, progress)
            return await work.run(tenant, micros(asked) if asked else None, micros(begun), replace=replace)
    finally:
        await store.close()


def _show(found: Sequence[Compared]) -> None:
    table = Table("Table", "Rows compared", "Rewritten meanwhile", "Differing")
    for one in found:
        table.add_row(one.table, str(one.rows), str(one.rewritten), str(one.differing))
    _out.print(table)
    for one in found:
        for example in one.examples:
            _out.print(f"{one.table} {example.key}", highlight=False)
            _out.print(f"  stands   {example.standing or '–'}", highlight=False)
            _out.print(f"  rebuilt  {example.rebuilt or '–'}", highlight=False)
        if one.differing > len(one.examples):
            _out.print(f"  … and {one.differing - len(one.examples)} more in {one.table}")


def _tenant(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise typer.BadParameter("A tenant is a UUID.") from error
