"""The services Bridge asks, by their generated stubs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceStub
from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceStub
from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceStub
from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceStub
from frameworks.contracts.pb.signalman_v1_pb2_grpc import SignalmanServiceStub
from frameworks.kit.module import Host

if TYPE_CHECKING:
    from frameworks.contracts.pb.commodore_v1_pb2_grpc import CommodoreServiceAsyncStub
    from frameworks.contracts.pb.foghorn_v1_pb2_grpc import FoghornServiceAsyncStub
    from frameworks.contracts.pb.periscope_v1_pb2_grpc import PeriscopeServiceAsyncStub
    from frameworks.contracts.pb.quartermaster_v1_pb2_grpc import QuartermasterServiceAsyncStub
    from frameworks.contracts.pb.signalman_v1_pb2_grpc import SignalmanServiceAsyncStub

SERVICE = "bridge"


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom Bridge asks."""

    commodore: "CommodoreServiceAsyncStub"
    quartermaster: "QuartermasterServiceAsyncStub"
    periscope: "PeriscopeServiceAsyncStub"
    foghorn: "FoghornServiceAsyncStub"
    signalman: "SignalmanServiceAsyncStub"


def connect(host: Host) -> Peers:
    """Peers reached through `host`, calling as Bridge unless a caller is passed on."""
    return Peers(
        commodore=host.peer(CommodoreServiceStub, service=SERVICE),
        quartermaster=host.peer(QuartermasterServiceStub, service=SERVICE),
        periscope=host.peer(PeriscopeServiceStub, service=SERVICE),
        foghorn=host.peer(FoghornServiceStub, service=SERVICE),
        signalman=host.peer(SignalmanServiceStub, service=SERVICE),
    )
