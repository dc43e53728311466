"""Who may call what: one table per service, deny by default. A method without a rule can not be called at all."""

from importlib import import_module

from frameworks.kit.identity import Rule

SERVICES = ("commodore", "decklog", "foghorn", "periscope", "purser", "quartermaster", "signalman")


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {}
    for name in SERVICES:
        rules: dict[str, Rule] = import_module(f"{__name__}.{name}").RULES
        for method, rule in rules.items():
            table[f"/frameworks.{name}.v1.{name.capitalize()}Service/{method}"] = rule
    return table


RPC: dict[str, Rule] = _table()
"""Full gRPC method name → who may call it."""
