"""Modules start in the order they ask for and stop in reverse."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import pytest

from frameworks.kit.module import Host, Module, ordered, running

NO_HOST = cast(Host, None)


def module(name: str, *after: str, log: list[str] | None = None, broken: bool = False) -> Module:
    """A module that writes down its start and stop."""

    @asynccontextmanager
    async def lifetime() -> AsyncIterator[None]:
        if broken:
            raise RuntimeError(name)
        if log is not None:
            log.append(f"+{name}")
        yield
        if log is not None:
            log.append(f"-{name}")

    def start(_: Host) -> AbstractAsyncContextManager[None]:
        return lifetime()

    return Module(name, start, after=frozenset(after))


def test_a_module_comes_after_those_it_names() -> None:
    names = [
        m.name
        for m in ordered(
            [module("bridge", "commodore", "purser"), module("purser", "commodore"), module("commodore")]
        )
    ]
    assert names == ["commodore", "purser", "bridge"]


def test_names_of_other_processes_are_ignored() -> None:
    assert [m.name for m in ordered([module("bridge", "commodore")])] == ["bridge"]


def test_a_cycle_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        ordered([module("a", "b"), module("b", "a"), module("c")])


async def test_modules_stop_in_reverse() -> None:
    log: list[str] = []
    async with running([module("bridge", "commodore", log=log), module("commodore", log=log)], NO_HOST):
        log.append("running")
    assert log == ["+commodore", "+bridge", "running", "-bridge", "-commodore"]


async def test_a_module_that_does_not_start_stops_those_before_it() -> None:
    log: list[str] = []
    modules = [module("commodore", log=log), module("bridge", "commodore", broken=True)]
    with pytest.raises(RuntimeError, match="bridge"):
        await running(modules, NO_HOST).__aenter__()
    assert log == ["+commodore"]
