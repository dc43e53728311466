"""The architecture in two tables: every module, and the processes that `frameworks up` makes of them."""

from importlib import import_module

from frameworks.kit.errors import Refusal
from frameworks.kit.module import Module

MODULES: dict[str, str] = {
    "bridge": "frameworks.control.bridge.module:MODULE",
    "commodore": "frameworks.control.commodore.module:MODULE",
    "quartermaster": "frameworks.control.quartermaster.module:MODULE",
    "purser": "frameworks.control.purser.module:MODULE",
    "decklog": "frameworks.data.decklog.module:MODULE",
    "periscope-ingest": "frameworks.data.periscope.module:INGEST",
    "periscope-query": "frameworks.data.periscope.module:QUERY",
    "signalman": "frameworks.data.signalman.module:MODULE",
    "foghorn": "frameworks.media.foghorn.module:MODULE",
    "helmsman": "frameworks.media.helmsman.module:MODULE",
    "mist": "frameworks.media.mist.module:MODULE",
    "console": "frameworks.support.console.module:MODULE",
    "mailbox": "frameworks.support.mailbox.module:MODULE",
}
"""Module name → where it is; imported only when a process is to run it."""

TARGETS: dict[str, tuple[str, ...]] = {
    "app": tuple(name for name in MODULES if name not in ("mist", "mailbox")),
    "demo-app": tuple(name for name in MODULES if name != "mist"),
    "mist": ("mist",),
}
"""Process name → its modules. A module's own name is a target too."""

SERVICES = ("cli", *dict.fromkeys(name.split("-")[0] for name in MODULES))
"""Everything that has a key of its own; `cli` is the operator's command line."""


class UnknownTarget(Refusal):
    """A name that is neither a target nor a module."""

    code = "assembly.unknown_target"


def chosen(names: tuple[str, ...]) -> list[Module]:
    """The modules of some targets, imported. Raises UnknownTarget."""
    wanted: dict[str, None] = {}
    for name in names:
        if name not in TARGETS and name not in MODULES:
            raise UnknownTarget(f"There is no module or target {name!r}. `frameworks modules` lists them.")
        wanted.update(dict.fromkeys(TARGETS.get(name, (name,))))
    return [_imported(name) for name in wanted]


def _imported(name: str) -> Module:
    path, _, attribute = MODULES[name].partition(":")
    module: Module = getattr(import_module(path), attribute)
    return module
