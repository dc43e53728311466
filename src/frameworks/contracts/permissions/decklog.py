"""Who may call Decklog."""

from frameworks.kit.identity import PrincipalKind, Rule

RULES: dict[str, Rule] = {
    "Publish": Rule.allow(PrincipalKind.NODE, services={"foghorn"}),
}
