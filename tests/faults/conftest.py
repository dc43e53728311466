"""`--seeds N` tells how many stories, `--seed S` which one alone, on `--log`; the last line printed is the verdict.

`--larger N` sends that many larger loads to a data plane on each log, in one process and in five, and compares them.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fault_world import World
from fault_world import world as start_world

from frameworks.engines.kafka import Kafka
from frameworks.engines.nats import Nats

SEEDS = pytest.StashKey[dict[int, bool]]()
A_FEW = 3
LARGER = "test_same_though_broken.py"
LOGS: dict[str, type[Nats] | type[Kafka]] = {"nats": Nats, "kafka": Kafka}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of this suite."""
    parser.addoption("--seeds", type=int, default=A_FEW, help="how many seeded runs")
    parser.addoption("--seed", type=int, default=None, help="one run alone")
    parser.addoption("--larger", type=int, default=0, help="how many larger loads for every data plane")
    parser.addoption("--log", choices=LOGS, default="nats", help="the event log of the platform")


def pytest_configure(config: pytest.Config) -> None:
    """Room for what came of each seed."""
    config.stash[SEEDS] = {}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Larger loads take minutes."""
    asked: int = config.getoption("--larger")
    return True if collection_path.name == LARGER and not asked else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test a seed."""
    if "seed" in metafunc.fixturenames:
        alone: int | None = metafunc.config.getoption("--seed")
        seeds = [alone] if alone is not None else range(1, metafunc.config.getoption("--seeds") + 1)
        metafunc.parametrize("seed", seeds)
    if "larger" in metafunc.fixturenames:
        metafunc.parametrize("larger", range(1, metafunc.config.getoption("--larger") + 1))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note each seed's end, and name the command that repeats a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    seed = getattr(item, "callspec", None) and item.callspec.params.get("seed")  # type: ignore[attr-defined]
    if seed is not None and (report.when == "call" or report.failed):
        item.config.stash[SEEDS][seed] = report.passed
        if report.failed:
            log = item.config.getoption("--log")
            command = f"pytest tests/faults/test_seeds.py --seed {seed} --log {log}"
            report.sections.append(("to repeat", command))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The verdict."""
    ends = config.stash.get(SEEDS, {})
    failed = sorted(seed for seed, passed in ends.items() if not passed)
    if failed:
        print(f"\n{len(failed)} of {len(ends)} runs lost or doubled something: seeds {failed}. DOES NOT HOLD")
    elif ends:
        log = config.getoption("--log")
        print(f"\n{len(ends)} runs on {log}, every acknowledged event in history exactly once: HOLDS")


@pytest.fixture(scope="session")
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """One platform for all stories."""
    data = Path(tmp_path_factory.mktemp("faults")) / "data"
    async with start_world(data, LOGS[request.config.getoption("--log")]) as made:
        yield made
    assert not (data / "helmsman" / "node-1" / "wal" / "refused.bin").exists(), (
        "Decklog refused what the edge sent"
    )
