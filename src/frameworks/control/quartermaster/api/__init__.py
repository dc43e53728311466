"""Inbound calls of Quartermaster, by use case."""

from types import SimpleNamespace

from frameworks.contracts.pb import quartermaster_v1_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["QuartermasterService"]


def servicer(*parts: object) -> object:
    """One servicer that offers the calls of all `parts`; raises ValueError when one of the service's is missing."""
    offered = {
        method.name: getattr(part, method.name)
        for method in SERVICE.methods
        for part in parts
        if hasattr(part, method.name)
    }
    missing = {method.name for method in SERVICE.methods} - offered.keys()
    if missing:
        raise ValueError(f"nobody offers {sorted(missing)}")
    return SimpleNamespace(**offered)
