"""Who may call Foghorn."""

from frameworks.kit.identity import PrincipalKind, Rule

RULES: dict[str, Rule] = {
    "Connect": Rule.allow(PrincipalKind.NODE),
    "AdmitViewer": Rule.allow(PrincipalKind.NODE),
    "StopStreams": Rule.allow(services=("commodore",)),
    "ResolveViewer": Rule.allow(services=("bridge", "cli")),
    "ResolveIngest": Rule.allow(services=("bridge", "cli")),
    "ListNodes": Rule.allow(services=("bridge", "cli")),
}
