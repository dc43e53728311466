"""Who may call Signalman."""

from frameworks.kit.identity import PrincipalKind, Rule

RULES: dict[str, Rule] = {
    "Subscribe": Rule.allow(PrincipalKind.USER, PrincipalKind.API_TOKEN, scope="analytics:read"),
}
