"""The stubs of Commodore's peers."""

from frameworks.contracts.pb.purser_v1_pb2_grpc import PurserServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.control.commodore.peers.authority import StandingAuthority, TenantRegistry
from frameworks.kit.module import Host


def authority(host: Host) -> tuple[TenantRegistry, StandingAuthority]:
    """Quartermaster for tenants, and both for standings."""
    quartermaster = host.peer(QuartermasterServiceStub, service="commodore")
    purser = host.peer(PurserServiceStub, service="commodore")
    return TenantRegistry(quartermaster), StandingAuthority(quartermaster, purser)
