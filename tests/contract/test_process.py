"""What the supervisor promises of real child processes."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from frameworks.engines.process import BoundedLog, Command, Process, ProcessFailed

PATIENCE = 20.0
LOOKS = 2000

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from frameworks.engines.process import Command, Process

async def main():
    command = Command(name="child", argv=("/bin/sleep", "600"))
    process = Process(command, Path(sys.argv[1]), guarded=sys.argv[2] == "guarded")
    await process.start()
    print("pid", process.pid, "!", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def shell(script: str, *, grace: float = 10.0) -> Command:
    """A child that runs `script`."""
    return Command(name="child", argv=("/bin/sh", "-c", script), grace=grace)


async def until(true: Callable[[], bool]) -> None:
    """Return once `true()`; fails the test when that never happens."""
    for _ in range(LOOKS):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never happened")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory for logs."""
    return tmp_path / "logs"


def is_gone(pid: int) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def said(logs: Path) -> str:
    """What the child printed so far."""
    path = logs / "child.log"
    return path.read_text() if path.exists() else ""


async def test_a_child_that_dies_is_started_again(logs: Path) -> None:
    process = Process(shell("echo up; exec sleep 600"), logs)
    await process.start()
    first = process.pid
    assert first is not None
    death = asyncio.ensure_future(process.died())
    await until(lambda: "up" in said(logs))
    os.kill(first, signal.SIGKILL)
    await asyncio.wait_for(death, PATIENCE)
    await until(lambda: said(logs).count("up") == 2)
    assert process.deaths == 1
    assert process.pid not in (None, first)
    await process.stop()


async def test_a_stopped_child_is_gone_and_stays_gone(logs: Path) -> None:
    process = Process(shell("exec sleep 600"), logs)
    await process.start()
    pid = process.pid
    assert pid is not None
    await process.stop()
    await process.stop()
    assert process.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_deaf_to_its_signal_is_killed_with_its_session(logs: Path) -> None:
    process = Process(shell("trap '' TERM; sleep 600 & echo $!; while :; do wait; done", grace=0.05), logs)
    await process.start()
    await until(lambda: said(logs).strip().isdigit())
    grandchild = int(said(logs))
    await process.stop()
    await until(lambda: is_gone(grandchild))


async def test_a_child_that_keeps_dying_while_it_starts_is_refused_with_its_last_words(logs: Path) -> None:
    async def never() -> bool:
        return False

    process = Process(shell("echo no such luck; exit 3"), logs)
    with pytest.raises(ProcessFailed, match=r"keeps dying while it starts.*no such luck"):
        await process.start(never, within=PATIENCE)
    assert process.pid is None


async def test_a_child_that_is_never_ready_is_stopped(logs: Path) -> None:
    async def never() -> bool:
        return False

    process = Process(shell("exec sleep 600"), logs)
    with pytest.raises(ProcessFailed, match="not ready within"):
        await process.start(never, within=0.1)
    assert process.pid is None


async def test_a_program_that_does_not_exist_is_named(logs: Path) -> None:
    process = Process(Command(name="child", argv=("/no/such/program",)), logs)
    with pytest.raises(ProcessFailed, match=r"child can not be run.*/no/such/program"):
        await process.start()


def test_a_full_disk_costs_lines_of_a_log_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "child.log").symlink_to("/dev/full")
    log = BoundedLog(tmp_path / "child.log", limit=1000)
    for _ in range(3):
        log.write(b"x" * 600)
    log.close()


async def test_the_log_is_bounded_and_keeps_the_newest_lines(logs: Path) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exec sleep 600"
    process = Process(shell(script), logs, log_limit=50_000)
    await process.start()
    await until(lambda: "line 19999\n" in said(logs))
    assert (logs / "child.log").stat().st_size <= 50_000
    assert (logs / "child.log.1").stat().st_size <= 50_000
    await process.stop()


@pytest.mark.parametrize("way", ["signal", "guarded"])
async def test_children_die_with_a_supervisor_that_is_killed(logs: Path, way: str) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(logs), way, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    child = int((await supervisor.stdout.readuntil(b"!")).split()[-2])
    supervisor.kill()
    await supervisor.wait()
    await until(lambda: is_gone(child))
