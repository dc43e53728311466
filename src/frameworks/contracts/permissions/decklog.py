"""Who may call Decklog."""

from frameworks.contracts.topics import WRITERS
from frameworks.kit.identity import PrincipalKind, Rule

RULES: dict[str, Rule] = {
    "Publish": Rule.allow(PrincipalKind.NODE, services=WRITERS),
}
