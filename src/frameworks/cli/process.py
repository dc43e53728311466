"""`frameworks run`: one process, some modules."""

import gc
from collections.abc import Mapping

import uvloop

from frameworks.assembly import MODULES, chosen
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
    uvloop.run(serve(modules, host, on_ready=gc.freeze))


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
