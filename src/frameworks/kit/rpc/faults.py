"""Faults on the wire: a status and a sentence, kind and code in the trailing metadata, and back again."""

import functools
from dataclasses import dataclass

import grpc
import grpc.aio

from frameworks.kit.errors import (
    CODES,
    Conflict,
    Fault,
    Forbidden,
    Kind,
    Limited,
    NotFound,
    Precondition,
    Refusal,
    Unauthenticated,
    Unavailable,
)
from frameworks.kit.rpc.call import Metadata, service_of

_KIND = "fault-kind"
_CODE = "fault-code"
_RETRY_AFTER = "fault-retry-after"


class PeerFailed(Unavailable):
    """The peer hit a bug of its own; its log has the incident the message names."""

    kind = Kind.INTERNAL
    code = "rpc.peer_failed"


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended, as it crosses the wire."""

    code: grpc.StatusCode
    details: str = ""
    trailing: Metadata = ()


class Aborted(Exception):
    """A call that ends with a status other than OK."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.details)
        self.status = status


_CLASSES: dict[Kind, type[Fault]] = {
    Kind.INVALID: Refusal,
    Kind.UNAUTHENTICATED: Unauthenticated,
    Kind.FORBIDDEN: Forbidden,
    Kind.MISSING: NotFound,
    Kind.CONFLICT: Conflict,
    Kind.PRECONDITION: Precondition,
    Kind.LIMITED: Limited,
    Kind.TOO_LARGE: Refusal,
    Kind.UNAVAILABLE: Unavailable,
    Kind.TIMEOUT: Unavailable,
    Kind.INTERNAL: PeerFailed,
}

_BARE: dict[grpc.StatusCode, tuple[Kind, str, str]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: (Kind.TIMEOUT, "rpc.deadline", "{} did not answer in time."),
    grpc.StatusCode.UNAVAILABLE: (Kind.UNAVAILABLE, "rpc.unavailable", "{} can not be reached."),
    grpc.StatusCode.CANCELLED: (Kind.UNAVAILABLE, "rpc.cancelled", "{} ended the call."),
    grpc.StatusCode.UNIMPLEMENTED: (Kind.PRECONDITION, "rpc.unimplemented", "{} does not offer this."),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (Kind.LIMITED, "rpc.busy", "{} has too much to do."),
}
_LARGER = "larger than max"
_TLS: dict[str, tuple[str, str]] = {
    "handshake failed": ("rpc.untrusted", "{} can not be trusted: its TLS is not of FRAMEWORKS_RPC_TLS_CA."),
    "erification": ("rpc.untrusted", "{} can not be trusted: its TLS certificate is for another name."),
    "last error: UNAVAILABLE": ("rpc.unavailable", "{} hung up at once: it may speak TLS only."),
}
"""What gRPC says of a connection that failed over TLS, or for want of it."""


def _tls(details: str) -> tuple[str, str] | None:
    return next((said for words, said in _TLS.items() if words in details), None)


def status_of(fault: Fault) -> Status:
    """The status a fault crosses the wire as; of its facts only `retry_after` goes along."""
    trailing: list[tuple[str, str | bytes]] = [(_KIND, fault.kind.value), (_CODE, fault.code)]
    if "retry_after" in fault.facts:
        trailing.append((_RETRY_AFTER, str(float(fault.facts["retry_after"]))))
    return Status(grpc.StatusCode[CODES[fault.kind].grpc], fault.message, tuple(trailing))


def incident(identifier: str) -> Status:
    """The status of an unexpected error: nothing of it but a name to find it by in the log."""
    message = f"Something went wrong here; it is logged as incident {identifier}."
    return Status(grpc.StatusCode.INTERNAL, message, ((_KIND, Kind.INTERNAL.value), (_CODE, "internal")))


def ended(error: grpc.aio.AioRpcError) -> Status:
    """How a call over the network ended."""
    return Status(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))


def fault_of(status: Status, path: str) -> Fault:
    """The fault a failed call stands for: the one the peer raised, or what the transport met."""
    trailing = {key: value for key, value in status.trailing if isinstance(value, str)}
    details = status.details
    if _KIND not in trailing:
        return _bare(status.code, details, path, service_of(path))
    kind = Kind(trailing[_KIND]) if trailing[_KIND] in _KINDS else Kind.INTERNAL
    facts: dict[str, object] = {"method": path}
    if _RETRY_AFTER in trailing:
        facts["retry_after"] = float(trailing[_RETRY_AFTER])
    return _class(kind, trailing.get(_CODE, _CLASSES[kind].code))(details, **facts)


def _bare(status: grpc.StatusCode, details: str, path: str, service: str) -> Fault:
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and _LARGER in details:
        kind, code, sentence = Kind.TOO_LARGE, "rpc.too_large", "The message to or from {} is too large."
    elif status is grpc.StatusCode.UNAVAILABLE and (said := _tls(details)):
        kind, (code, sentence) = Kind.UNAVAILABLE, said
    else:
        unexpected = (Kind.INTERNAL, PeerFailed.code, "{} failed.")
        kind, code, sentence = _BARE.get(status, unexpected)
    return _class(kind, code)(sentence.format(service), method=path, status=status.name, details=details)


@functools.lru_cache(maxsize=1024)
def _class(kind: Kind, code: str) -> type[Fault]:
    parent = _CLASSES[kind]
    if parent.kind is kind and parent.code == code:
        return parent
    return type(parent.__name__, (parent,), {"kind": kind, "code": code})


_KINDS = frozenset(kind.value for kind in Kind)
