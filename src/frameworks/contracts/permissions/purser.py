"""Who may call Purser."""

from frameworks.kit.identity import PrincipalKind, Rule

RULES: dict[str, Rule] = {
    "GetLimits": Rule.allow(
        PrincipalKind.USER, PrincipalKind.API_TOKEN, PrincipalKind.SERVICE, scope="streams:read"
    ),
    "SetSuspension": Rule.allow(PrincipalKind.USER, services={"cli"}, role="operator"),
}
