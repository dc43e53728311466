"""The tables of `frameworks status`."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from frameworks.cli.status import Engine, Found, Process

GOOD, BAD, QUIET = "green", "bold red", "dim"
COLOURS = {
    "ok": GOOD,
    "answers": GOOD,
    "running": GOOD,
    "starting": "yellow",
    "stopping": "yellow",
    "ended": QUIET,
}


def show(found: Found, console: Console, *, every_loop: bool) -> None:
    """Print what was found: processes, readers, engines, then what is wrong and what to do."""
    console.print(Group(*_parts(found, every_loop=every_loop)))


def _parts(found: Found, *, every_loop: bool) -> Iterator[RenderableType]:
    yield _processes(found.processes, every_loop=every_loop)
    readers = _readers(found.processes)
    if readers.row_count:
        yield readers
    if found.engines:
        yield _engines(found.engines)
    if figures := _figures(found.processes):
        yield figures
    problems = list(_problems(found))
    yield from problems
    if found.well and not problems:
        yield f"[{GOOD}]✓[/] Everything flows."


def _state(state: str) -> str:
    return f"[{COLOURS.get(state, BAD)}]{escape(state)}[/]"


def _processes(processes: tuple[Process, ...], *, every_loop: bool) -> Table:
    table = Table(
        "Process",
        "Module",
        "Loop",
        "State",
        "Restarts",
        "Last error",
        title="Processes",
        title_justify="left",
    )
    for process in processes:
        where = f"pid {process.pid}, port {process.port}" if process.pid else ""
        table.add_row(f"[bold]{escape(process.name)}[/]", "", where, _state(process.state), "", "")
        for loop in process.loops:
            if every_loop or loop.restarts or loop.state == "failing":
                restarts = str(loop.restarts or "")
                table.add_row(
                    "",
                    escape(loop.module),
                    escape(loop.loop),
                    _state(loop.state),
                    restarts,
                    escape(loop.last_error),
                )
    return table


def _readers(processes: tuple[Process, ...]) -> Table:
    table = Table(
        "Topic", "Group", "Behind", "Worst partition", "State", title="Readers", title_justify="left"
    )
    for process in processes:
        for reader in process.readers:
            worst = f"{reader.worst_lag:,} in {reader.worst_partition}" if reader.worst_lag else "–"
            state = f"[{BAD}]waits: {escape(reader.reason)}[/]" if reader.last_error else _state("running")
            table.add_row(reader.topic, reader.group, f"{reader.lag:,}", worst, state)
    return table


def _engines(engines: tuple[Engine, ...]) -> Table:
    table = Table("Engine", "State", "", title="Engines", title_justify="left")
    for engine in engines:
        table.add_row(engine.name, _state(engine.state), escape(engine.detail))
    return table


def _figures(processes: tuple[Process, ...]) -> str:
    """Edge logs, dead letters and dirty buckets in a line."""
    said = []
    for process in processes:
        said += [f"{name}'s edge log {_bytes(depth)}" for name, depth in process.edge_logs.items()]
        if process.dead_letters is not None:
            colour = BAD if process.dead_letters else GOOD
            said.append(f"dead letters [{colour}]{process.dead_letters:,}[/]")
        if process.dirty_buckets is not None:
            said.append(f"buckets to roll up {process.dirty_buckets:,}")
    return "   ".join(said)


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} B"


def _problems(found: Found) -> Iterator[str]:
    for process in found.processes:
        if process.state in ("not running", "never started", "does not answer"):
            yield (
                f"[{BAD}]✗[/] {escape(process.name)} {'was' if process.state == 'never started' else 'is'} "
                f"{escape(process.state)}. ".replace(" is does", " does")
                + f"[{QUIET}]Look at `frameworks logs {escape(process.name)}`, then start it.[/]"
            )
        for problem in process.problems:
            mark = f"[{BAD}]✗[/]" if problem["broken"] else "[yellow]![/]"
            yield f"{mark} {escape(problem['message'])} [{QUIET}]{escape(problem['remedy'])}[/]"
