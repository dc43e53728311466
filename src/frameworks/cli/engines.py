"""`frameworks engines`: servers that `frameworks up` does not start by itself."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Engines that `frameworks up` does not start by itself.", no_args_is_help=True)


@app.command("kafka")
def kafka(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Of the platform; the broker keeps everything in its kafka/.")
    ] = Path(".frameworks"),
    port: Annotated[int, typer.Option(help="Loopback port; 0 takes a free one and remembers it.")] = 0,
    heap: Annotated[str, typer.Option(help="Java heap, such as 256m or 2g.")] = "256m",
) -> None:
    """Run a single-node Apache Kafka on this machine until Ctrl-C, as the event log of a platform.

    Needs Java 17 and Maven (Debian: sudo apt install default-jre-headless maven); the first start fetches
    Kafka by Maven, about 45 MB. Then start the platform with the FRAMEWORKS_EVENTLOG that is printed.
    """
    import uvloop

    from frameworks.kit import log

    log.setup("WARNING")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    uvloop.run(_kafka(data_dir.resolve() / "kafka", port, heap))


async def _kafka(data: Path, port: int, heap: str) -> None:
    from frameworks.engines.kafka import Kafka

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    broker = Kafka(data, port=port or None, heap=heap)
    starting = asyncio.create_task(broker.start())
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            typer.echo(f"FRAMEWORKS_EVENTLOG='{broker.url}'")
            await stopped
    finally:
        starting.cancel()
        stopped.cancel()
        await asyncio.wait({starting, stopped})
        await broker.stop()
