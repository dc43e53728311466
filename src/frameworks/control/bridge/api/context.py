"""What resolvers see of the request they serve."""

from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLResolveInfo

from frameworks.control.bridge.api.loaders import Loaders
from frameworks.control.bridge.config import Settings
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.peers import Peers
from frameworks.kit.clock import Clock
from frameworks.kit.rpc import Forwarded
from frameworks.kit.trace import TRACEPARENT, header


@dataclass(slots=True)
class Context:
    """One request: its caller, the peers, and what it has loaded so far."""

    caller: Caller
    peers: Peers
    settings: Settings
    clock: Clock
    loaders: Loaders = field(init=False)
    metadata: Forwarded = field(init=False)
    """Carries the caller to peers; a call without it goes out as Bridge itself."""

    def __post_init__(self) -> None:
        self.metadata = forwarded(self.caller)
        self.loaders = Loaders(self.peers, self.metadata)


def forwarded(caller: Caller) -> Forwarded:
    """Metadata that carries `caller` on."""
    pairs: list[tuple[str, str | bytes]] = [(TRACEPARENT, header(caller.trace or None))]
    if caller.token is not None:
        pairs.append(("authorization", f"Bearer {caller.token}"))
    return Forwarded(pairs)


def of(info: GraphQLResolveInfo) -> Context:
    """The request a resolver runs in."""
    context: Any = info.context
    assert isinstance(context, Context)
    return context
