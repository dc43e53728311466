"""Running a set of modules until the process is told to stop."""

import asyncio
import inspect
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from frameworks.kit import log
from frameworks.kit.host.process import ProcessHost
from frameworks.kit.module import Module, running


class ProcessEnded(Exception):
    """The process has to end although nobody asked: its supervisor should start it again."""


class _StoppedEarly(Exception):
    """Told to stop before it was ready."""


async def serve(
    modules: Sequence[Module],
    host: ProcessHost,
    on_ready: Callable[[], Awaitable[None] | None] | None = None,
    *,
    signals: bool = True,
) -> None:
    """Start `modules`, serve until a signal or `host.stopping`, stop; raises ProcessEnded on a failure.

    A second signal ends the process at once.
    """
    logger = log.get("host", modules=[module.name for module in modules])
    try:
        async with AsyncExitStack() as stack:
            stack.callback(logger.info, "process.stopped")
            stack.push_async_callback(host.close)
            stack.enter_context(_signals(host, wanted=signals))
            with _interruptible(host):
                await host.open_admin()
                await stack.enter_async_context(running(modules, host))
                stack.push_async_callback(host.drain)
                await host.open()
            logger.info("process.started", ports=host.ports)
            told = on_ready() if on_ready is not None else None
            if inspect.isawaitable(told):
                await told
            await host.stopping.wait()
    except _StoppedEarly:
        logger.info("start.interrupted")
    if host.failure is not None:
        raise ProcessEnded(host.failure)


@contextmanager
def _signals(host: ProcessHost, *, wanted: bool) -> Iterator[None]:
    """The first SIGTERM or SIGINT asks to stop, and gives the signal back its default for the next."""
    loop = asyncio.get_running_loop()
    handled = (signal.SIGTERM, signal.SIGINT) if wanted else ()

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        host.stopping.set()

    for number in handled:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


@contextmanager
def _interruptible(host: ProcessHost) -> Iterator[None]:
    """Within the block, being told to stop cancels what it waits for and raises `_StoppedEarly`."""
    task = asyncio.current_task()
    assert task is not None

    async def interrupt() -> None:
        await host.stopping.wait()
        task.cancel()

    watcher = asyncio.get_running_loop().create_task(interrupt())
    try:
        yield
    except asyncio.CancelledError:
        if not host.stopping.is_set():
            raise
        task.uncancel()
        raise _StoppedEarly from None
    finally:
        watcher.cancel()
