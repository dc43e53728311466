"""`frameworks run`: one process, some modules."""

import gc
import os
from collections.abc import Mapping

import uvloop

from frameworks.assembly import MODULES, chosen
from frameworks.cli.flow import flow_reporter, process_name
from frameworks.cli.presence import Present, announce, withdraw
from frameworks.cli.registration import reporter
from frameworks.contracts.permissions import RPC
from frameworks.kit import config, log
from frameworks.kit.host import HostSettings, ProcessHost, serve


def run_modules(targets: tuple[str, ...]) -> None:
    """Run the modules of `targets` until a signal; exit code 1 when one gave up."""
    log.setup()
    modules = chosen(targets)
    env = config.environment()
    _refuse_unknown({HostSettings, *(kind for module in modules for kind in module.settings)}, env)
    host = ProcessHost(env, rules=RPC)
    cluster = config.load(HostSettings, env).cluster
    names = tuple(module.name for module in modules)
    if cluster and (loop := reporter(host, names, cluster)) is not None:
        host.spawn("host.registration", loop, module="host")
    if (telling := flow_reporter(host, names)) is not None:
        host.spawn("host.flow", telling, module="host")
    try:
        uvloop.run(serve(modules, host, on_ready=lambda: _ready(host, names)))
    finally:
        withdraw(host.data_dir, process_name(names), os.getpid())


def _ready(host: ProcessHost, names: tuple[str, ...]) -> None:
    """Say where this process can be asked, for `frameworks status`."""
    address = config.load(HostSettings, config.environment()).admin_address
    announce(host.data_dir, Present(process_name(names), os.getpid(), address, host.ports["host"], names))
    gc.freeze()


def _refuse_unknown(kinds: set[type], env: Mapping[str, str]) -> None:
    """A misspelt setting is an error, because ignoring it would be a surprise later."""
    unknown = config.unknown(kinds, env)
    if unknown:
        raise config.BadSetting(
            f"Not a setting: {', '.join(unknown)}. `frameworks config docs` lists them all."
        )


def all_settings() -> list[type]:
    """The settings classes of every module and of the process."""
    kinds: dict[type, None] = {HostSettings: None}
    for module in chosen(tuple(MODULES)):
        kinds.update(dict.fromkeys(module.settings))
    return list(kinds)
