"""Who may call Quartermaster."""

from frameworks.kit.identity import PrincipalKind, Rule

_USER, _TOKEN, _NODE = PrincipalKind.USER, PrincipalKind.API_TOKEN, PrincipalKind.NODE
_SERVICE = PrincipalKind.SERVICE
_READ = Rule.allow(_USER, _TOKEN, scope="infrastructure:read")
_WRITE = Rule.allow(_USER, _TOKEN, scope="infrastructure:write")

RULES: dict[str, Rule] = {
    "CreateTenant": Rule.allow(services={"commodore", "cli"}),
    "GetTenant": Rule.allow(_USER, _TOKEN, _SERVICE, scope="infrastructure:read"),
    "UpdateTenant": Rule.allow(_USER, scope="account:write"),
    "DeleteTenant": Rule.allow(services={"commodore", "cli"}),
    "GetCluster": _READ,
    "ListClusters": _READ,
    "ListClusterAccess": _READ,
    "ListAvailableClusters": _READ,
    "SetPreferredCluster": _WRITE,
    "CreateEdgeCluster": _WRITE,
    "GetRouting": Rule.allow(_SERVICE),
    "GetNode": _READ,
    "ListNodes": _READ,
    "CreateEnrollmentToken": Rule.allow(_USER, _TOKEN, services={"cli"}, scope="infrastructure:write"),
    "EnrollNode": Rule.allow(PrincipalKind.PUBLIC),
    "RenewNodeCertificate": Rule.allow(_NODE),
    "ReportNode": Rule.allow(_NODE),
    "ReportInstances": Rule.allow(_NODE, _SERVICE),
    "ListServiceInstances": _READ,
    "DiscoverServices": _READ,
}
