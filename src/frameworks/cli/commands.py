"""Every command, each importing only what it needs: `frameworks up` must stay small."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from frameworks import __version__, assembly
from frameworks.cli.engines import app as engines_app
from frameworks.cli.history import app as history_app
from frameworks.cli.layout import Layout
from frameworks.cli.letters import app as letters_app
from frameworks.kit.errors import Fault

app = typer.Typer(
    help="FrameWorks: a multi-tenant live video platform, from a laptop to continents.\n\n"
    "Start everything on this machine with `frameworks up`; run parts of it with `frameworks run MODULE …`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
admin = typer.Typer(help="For operators.", no_args_is_help=True)
config_app = typer.Typer(help="Settings: what there are, and whether yours are right.", no_args_is_help=True)
app.add_typer(admin, name="admin")
app.add_typer(config_app, name="config")
app.add_typer(engines_app, name="engines")
app.add_typer(letters_app, name="dlq")
app.add_typer(history_app, name="periscope")

_err = Console(stderr=True)
DataDir = Annotated[Path, typer.Option("--data-dir", help="Where the platform keeps everything.")]
DEFAULT_DATA = Path(".frameworks")


def main() -> None:
    """Run the command line; an expected failure is one sentence and exit code 1."""
    if isinstance(sys.stdout, TextIOWrapper):  # progress is for now, also in a file or a journal
        sys.stdout.reconfigure(line_buffering=True)
    try:
        app()
    except Fault as fault:
        _err.print(f"[bold red]✗[/] {fault.message}", highlight=False)
        sys.exit(1)


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    import uvloop

    uvloop.run(work())


@app.command()
def up(
    data_dir: DataDir = DEFAULT_DATA,
    demo: Annotated[bool, typer.Option(help="Make a demo tenant with a running stream.")] = True,
    port_offset: Annotated[
        int, typer.Option(help="Shift every port, to run two platforms side by side.")
    ] = 0,
    listen: Annotated[str, typer.Option(help="Address for the front, RTMP and the node.")] = "127.0.0.1",
) -> None:
    """Start the whole platform on this machine. Ctrl-C stops it; the next start finds all data."""
    from frameworks.cli.up import Supervisor
    from frameworks.kit import log

    log.setup("ERROR")
    layout = Layout.of(data_dir, offset=port_offset, listen=listen, demo=demo)
    with layout.locked():
        layout.check_ports()
        _run(lambda: Supervisor(layout, Console()).run())


@app.command()
def run(
    targets: Annotated[
        list[str], typer.Argument(help="Modules or targets; `frameworks modules` lists them.")
    ],
) -> None:
    """Run modules in this process, configured by the environment (see `frameworks config docs`)."""
    from frameworks.cli.process import run_modules

    run_modules(tuple(targets))


@app.command()
def modules() -> None:
    """List modules, where they live, and the targets that group them."""
    table = Table("Module", "Plane", "Charter")
    for name, place in assembly.MODULES.items():
        package = place.rpartition(".module:")[0]
        table.add_row(name, place.split(".")[1], _charter(import_module(package).__doc__ or ""))
    Console().print(table)
    for target, names in assembly.TARGETS.items():
        Console().print(f"[bold]{target}[/]: {', '.join(names)}")


def _charter(text: str) -> str:
    """The first sentence of a service's docstring, without its name."""
    sentence = " ".join(text.split()).partition(". ")[0].rstrip(".")
    named, colon, rest = sentence.partition(": ")
    return rest if colon and " " not in named else sentence


@app.command()
def status(
    data_dir: DataDir = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: everything, on one line.")] = False,
    every_loop: Annotated[
        bool, typer.Option("--loops", help="Every loop, not only those that failed.")
    ] = False,
) -> None:
    """Show what runs on a data directory, how far it is, what is wrong and what to do about it.

    Asks every process that runs here, started by `frameworks up` or by `frameworks run`, at its admin port, and
    tries every engine. Nothing else is needed: what is down is said to be, the rest is shown.

    PROCESSES: state, and the loops that fail or failed, with how often they were restarted and why the last time.
    READERS: by topic and group, the records not read yet, and the partition furthest behind.
    A line tells the bytes that wait in edge logs, dead letters, and buckets that wait for roll-up.

    The exit code is 0 when all is well, and 1 when anything is down or fails; warnings do not count.
    """
    from frameworks.cli.status import look

    found = look(data_dir)
    if as_json:
        print(found.as_json())
    else:
        from frameworks.cli.status_table import show

        show(found, Console(), every_loop=every_loop)
    if not found.well:
        raise typer.Exit(1)


@app.command()
def logs(
    process: Annotated[
        str, typer.Argument(help="One process (app, mist, demo, postgres, …); all when left out.")
    ] = "",
    data_dir: DataDir = DEFAULT_DATA,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the newest lines.")] = 40,
) -> None:
    """Print the newest lines of the processes' logs."""
    found = sorted(path for path in data_dir.glob("**/logs/*.log") if not process or path.stem == process)
    if not found:
        known = ", ".join(sorted(path.stem for path in data_dir.glob("**/logs/*.log"))) or "none yet"
        _err.print(f"No log of {process or 'any process'} in {data_dir}. There are: {known}.")
        raise typer.Exit(1)
    offsets = {path: _tail(path, lines) for path in found}
    while follow:
        time.sleep(0.5)
        for path in found:
            offsets[path] = _print_from(path, offsets[path])


def _tail(path: Path, lines: int) -> int:
    content = path.read_bytes()
    for line in content.splitlines()[-lines:]:
        typer.echo(f"{path.stem:>10}  {line.decode(errors='replace')}")
    return len(content)


def _print_from(path: Path, offset: int) -> int:
    content = path.read_bytes()
    start = offset if len(content) >= offset else 0
    for line in content[start:].splitlines():
        typer.echo(f"{path.stem:>10}  {line.decode(errors='replace')}")
    return len(content)


@app.command()
def reset(
    data_dir: DataDir = DEFAULT_DATA,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all data of the platform on this machine."""
    if not data_dir.exists():
        typer.echo(f"There is nothing at {data_dir}.")
        return
    if not (data_dir / "schema").exists():
        _err.print(f"{data_dir} is not a FrameWorks data directory; nothing was deleted.")
        raise typer.Exit(1)
    if not yes:
        typer.confirm(f"Delete everything in {data_dir.resolve()}: accounts, streams, history?", abort=True)
    with Layout.of(data_dir).locked():
        shutil.rmtree(data_dir)
    typer.echo(f"Deleted {data_dir}.")


@config_app.command("check")
def config_check() -> None:
    """Read every module's settings from the environment and name what is wrong."""
    from frameworks.cli.process import all_settings
    from frameworks.kit import config

    env = config.environment()
    kinds = all_settings()
    for kind in kinds:
        config.load(kind, env)
    unknown = config.unknown(kinds, env)
    for name in unknown:
        _err.print(f"{name} is not a setting.")
    if unknown:
        raise typer.Exit(1)
    typer.echo("All settings are valid.")


@config_app.command("docs")
def config_docs() -> None:
    """List every setting with its default and meaning."""
    from frameworks.cli.process import all_settings
    from frameworks.kit import config

    for kind in all_settings():
        for name, default, meaning in config.document(kind):
            typer.echo(f"{name}={default}\n    {meaning}")


@admin.command("bootstrap")
def bootstrap(
    demo: Annotated[bool, typer.Option("--demo", help="A demo tenant and stream too.")] = False,
) -> None:
    """Make the operator's tenant, the default cluster and a node's enrolment token; safe to repeat."""
    from frameworks.cli.bootstrap import ensure

    typer.echo(json.dumps(asyncio.run(ensure(demo=demo))))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
