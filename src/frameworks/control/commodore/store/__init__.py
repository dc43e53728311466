"""The only SQL of Commodore, by use case; every method takes the tenant first, but `resolve_*` lookups."""

from frameworks.control.commodore.store.accounts import AccountStore
from frameworks.control.commodore.store.admission import AdmissionStore
from frameworks.control.commodore.store.resolution import ResolutionStore
from frameworks.control.commodore.store.sessions import SessionStore
from frameworks.control.commodore.store.stops import StopStore
from frameworks.control.commodore.store.streams import StreamStore
from frameworks.control.commodore.store.sweeping import SweepStore
from frameworks.control.commodore.store.tokens import ApiTokenStore

__all__ = [
    "AccountStore",
    "AdmissionStore",
    "ApiTokenStore",
    "ResolutionStore",
    "SessionStore",
    "StopStore",
    "StreamStore",
    "SweepStore",
]
