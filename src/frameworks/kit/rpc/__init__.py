"""Calls between services over generated gRPC stubs: in process by `Loopback`, else over HTTP/2."""

from frameworks.kit.rpc.call import Call, Forwarded, service_of
from frameworks.kit.rpc.client import Channel, connect, reading
from frameworks.kit.rpc.dispatch import Dispatcher, Interceptor
from frameworks.kit.rpc.faults import PeerFailed
from frameworks.kit.rpc.loopback import Loopback
from frameworks.kit.rpc.server import RpcServer

__all__ = [
    "Call",
    "Channel",
    "Dispatcher",
    "Forwarded",
    "Interceptor",
    "Loopback",
    "PeerFailed",
    "RpcServer",
    "connect",
    "reading",
    "service_of",
]
