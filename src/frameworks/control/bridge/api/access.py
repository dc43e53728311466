"""Who may ask which field: one table, deny by default. A field at the root without a rule fails the build."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLResolveInfo

from frameworks.control.bridge.api import context
from frameworks.control.bridge.domain import Caller
from frameworks.kit.errors import Forbidden, Unauthenticated
from frameworks.kit.identity import PrincipalKind


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: the public, any credential, one that holds `scope`, an operator, or a signed-in user."""

    scope: str | None = None
    public: bool = False
    operator: bool = False
    user: bool = False

    def check(self, caller: Caller) -> None:
        """Return if `caller` may ask; raises Unauthenticated or Forbidden."""
        if self.public:
            return
        if caller.is_public:
            raise Unauthenticated("Sign in or send a token to ask this.")
        if self.scope is not None and not caller.may(self.scope):
            raise Forbidden(f"This needs the scope {self.scope}.", scope=self.scope)
        if self.operator and not caller.is_operator:
            raise Forbidden("Only operators of the platform may ask this.")
        if self.user and caller.principal.kind is not PrincipalKind.USER:
            raise Forbidden("Only a signed-in user may ask this.")


PUBLIC = Access(public=True)
ANYONE = Access()
STREAMS_READ = Access("streams:read")
STREAMS_WRITE = Access("streams:write")
ANALYTICS_READ = Access("analytics:read")
DEVELOPER_READ = Access("developer:read")
DEVELOPER_WRITE = Access("developer:write")
INFRASTRUCTURE_READ = Access("infrastructure:read")
INFRASTRUCTURE_WRITE = Access("infrastructure:write")

ACCESS: dict[str, Access] = {
    "Query.serverInfo": PUBLIC,
    "Query.resolveViewerEndpoint": PUBLIC,
    "Query.resolveIngestEndpoint": PUBLIC,
    "Query.me": ANYONE,
    "Query.tenant": ANYONE,
    "Query.streamingConfig": ANYONE,
    "Query.stream": STREAMS_READ,
    "Query.streamsConnection": STREAMS_READ,
    "Query.streamKeysConnection": STREAMS_WRITE,
    "Query.validateStreamKey": STREAMS_READ,
    "Query.refusedIngestsConnection": STREAMS_READ,
    "Query.developerTokensConnection": DEVELOPER_READ,
    "Query.analytics": ANALYTICS_READ,
    "Query.cluster": INFRASTRUCTURE_READ,
    "Query.clustersConnection": INFRASTRUCTURE_READ,
    "Query.clustersAccessConnection": INFRASTRUCTURE_READ,
    "Query.clustersAvailableConnection": INFRASTRUCTURE_READ,
    "Query.nodesConnection": INFRASTRUCTURE_READ,
    "Query.discoverServicesConnection": INFRASTRUCTURE_READ,
    "Query.serviceInstancesHealth": INFRASTRUCTURE_READ,
    "Query.pipelineStatus": Access(operator=True),
    "Mutation.createStream": STREAMS_WRITE,
    "Mutation.updateStream": STREAMS_WRITE,
    "Mutation.deleteStream": STREAMS_WRITE,
    "Mutation.refreshStreamKey": STREAMS_WRITE,
    "Mutation.createStreamKey": STREAMS_WRITE,
    "Mutation.deleteStreamKey": STREAMS_WRITE,
    "Mutation.createDeveloperToken": DEVELOPER_WRITE,
    "Mutation.revokeDeveloperToken": DEVELOPER_WRITE,
    "Mutation.updateTenant": Access(user=True),
    "Mutation.setPreferredCluster": INFRASTRUCTURE_WRITE,
    "Mutation.createEdgeCluster": INFRASTRUCTURE_WRITE,
    "Mutation.createEnrollmentToken": INFRASTRUCTURE_WRITE,
    "Mutation.bootstrapEdge": PUBLIC,
    "Subscription.liveStreamEvents": ANALYTICS_READ,
    "Subscription.liveViewerMetrics": ANALYTICS_READ,
    "Subscription.liveConnectionEvents": ANALYTICS_READ,
    "Subscription.liveTrackListUpdates": ANALYTICS_READ,
    "Subscription.liveFirehose": ANALYTICS_READ,
    "Subscription.liveSystemHealth": INFRASTRUCTURE_READ,
    "Subscription.pipelineStatus": Access(operator=True),
    "Stream.streamKey": STREAMS_WRITE,
    "Stream.metrics": ANALYTICS_READ,
    "Stream.refusedIngests": STREAMS_READ,
    "Analytics.infra": INFRASTRUCTURE_READ,
}

PUBLIC_FIELDS = frozenset(name.partition(".")[2] for name, access in ACCESS.items() if access.public)


def guarded(access: Access, resolver: Callable[..., Any]) -> Callable[..., Any]:
    """`resolver`, asked only by whom `access` admits."""

    def resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        access.check(context.of(info).caller)
        return resolver(source, info, **arguments)

    return resolve


def guarded_source(access: Access, source: Callable[..., AsyncIterator[Any]]) -> Callable[..., Any]:
    """A subscription's `source`, opened only by whom `access` admits."""

    async def subscribe(root: Any, info: GraphQLResolveInfo, **arguments: Any) -> AsyncIterator[Any]:
        access.check(context.of(info).caller)
        return source(root, info, **arguments)

    return subscribe
