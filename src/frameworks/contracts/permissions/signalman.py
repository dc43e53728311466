"""Who may call Signalman, and which channels of their tenant they may follow."""

from frameworks.kit.errors import Refusal
from frameworks.kit.identity import Principal, PrincipalKind, Rule

_USER, _TOKEN = PrincipalKind.USER, PrincipalKind.API_TOKEN

RULES: dict[str, Rule] = {
    "Subscribe": Rule.allow(_USER, _TOKEN, scope="analytics:read"),
}

CHANNELS: dict[str, Rule] = {
    "streams": Rule.allow(_USER, _TOKEN, scope="analytics:read"),
    "analytics": Rule.allow(_USER, _TOKEN, scope="analytics:read"),
    "system": Rule.allow(_USER, _TOKEN, scope="infrastructure:read"),
}
"""Channel → who may follow it, whatever the way; a channel without a rule is nobody's."""


def open_to(principal: Principal) -> frozenset[str]:
    """The channels this caller may follow."""
    return frozenset(name for name, rule in CHANNELS.items() if _admits(rule, principal))


def _admits(rule: Rule, principal: Principal) -> bool:
    try:
        rule.check(principal)
    except Refusal:
        return False
    return principal.tenant is not None
