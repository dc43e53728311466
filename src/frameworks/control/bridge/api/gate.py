"""Credentials to callers: user tokens are verified here, API tokens exchanged at Commodore and remembered."""

import hashlib
from collections import OrderedDict
from typing import TypeVar

from frameworks.contracts.pb import commodore_v1_pb2 as pb
from frameworks.control.bridge.domain import Caller
from frameworks.control.bridge.peers import SERVICE, Peers
from frameworks.control.bridge.transport.credentials import Credentials
from frameworks.control.bridge.transport.ratelimit import Buckets, Verdict
from frameworks.kit import trace
from frameworks.kit.clock import Clock, from_micros
from frameworks.kit.errors import Fault, Forbidden, Unauthenticated
from frameworks.kit.identity import PrincipalKind, Verifier

MARGIN = 30.0
"""Seconds before its end from which an exchanged token is not passed on any more."""
V = TypeVar("V")

CACHE = 10_000
MISS_FOR = 5.0
"""Seconds a refused API token is refused without asking Commodore again."""


class Gate:
    """Answers who sent a request; never raises, a credential that does not hold is kept as the refusal."""

    def __init__(self, peers: Peers, verifier: Verifier, clock: Clock) -> None:
        self._peers = peers
        self._verifier = verifier
        self._clock = clock
        self._exchanged: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, Fault]] = OrderedDict()

    async def authenticate(self, given: Credentials) -> Caller:
        """The caller behind `given`."""
        traced = trace.current.get() or trace.accept(None)
        if given.token is None:
            return Caller(address=given.address, trace=traced)
        try:
            token = given.token if given.token.count(".") == 2 else await self._exchange(given.token)
            principal = self._verifier.principal(token, SERVICE)
            if principal.kind not in (PrincipalKind.USER, PrincipalKind.API_TOKEN):
                raise Forbidden("This credential is not for this door.")
        except Fault as refusal:
            return Caller(address=given.address, trace=traced, refusal=refusal)
        return Caller(principal, token, given.address, traced)

    async def _exchange(self, api_token: str) -> str:
        key = hashlib.sha256(api_token.encode(errors="replace")).digest()
        now = self._clock.monotonic()
        known = self._exchanged.get(key)
        if known is not None and known[0] > now:
            return known[1]
        refused = self._refused.get(key)
        if refused is not None and refused[0] > now:
            raise refused[1]
        try:
            answer = await self._peers.commodore.ExchangeApiToken(
                pb.ExchangeApiTokenRequest(api_token=api_token)
            )
        except (Unauthenticated, Forbidden) as refusal:
            _keep(self._refused, key, (now + MISS_FOR, refusal))
            raise
        left = (from_micros(answer.expires_at) - self._clock.now()).total_seconds() - MARGIN
        _keep(self._exchanged, key, (now + left, answer.token))
        return answer.token


def _keep(cache: "OrderedDict[bytes, V]", key: bytes, value: V) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > CACHE:
        cache.popitem(last=False)


class Budgets:
    """What each caller may still ask: tenants and addresses have buckets of their own."""

    def __init__(self, tenants: Buckets, public: Buckets) -> None:
        self._tenants = tenants
        self._public = public

    def take(self, caller: Caller) -> Verdict:
        """Count one operation of `caller`."""
        return (self._public if caller.is_public else self._tenants).take(caller.bucket)
