"""`frameworks run`: one process, some modules."""

import gc

import uvloop

from frameworks.assembly import MODULES, chosen
from frameworks.contracts.permissions import RPC
from frameworks.kit import config, log
from frameworks.kit.host import HostSettings, ProcessHost, serve


def run_modules(targets: tuple[str, ...]) -> None:
    """Run the modules of `targets` until a signal; exit code 1 when one gave up."""
    log.setup()
    modules = chosen(targets)
    env = config.environment()
    host = ProcessHost(env, rules=RPC)
    uvloop.run(serve(modules, host, on_ready=gc.freeze))


def all_settings() -> list[type]:
    """The settings classes of every module and of the process."""
    kinds: dict[type, None] = {HostSettings: None}
    for module in chosen(tuple(MODULES)):
        kinds.update(dict.fromkeys(module.settings))
    return list(kinds)
