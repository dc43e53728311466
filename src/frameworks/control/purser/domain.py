"""Plans, suspensions and the limits they add up to."""

from dataclasses import dataclass

from frameworks.kit.errors import Refusal

LONGEST_REASON = 500
STANDING_CHANGED = "standing.changed"


class BadReason(Refusal):
    """A suspension must say why, in a sentence the tenant can read."""

    code = "purser.bad_reason"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan allows."""

    plan: str
    max_streams: int
    max_live_streams: int
    max_viewers: int
    max_ingest_kbps: int


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why a tenant may not start anything that costs money."""

    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tenant may use now."""

    plan: str
    max_streams: int
    max_live_streams: int
    max_viewers: int
    max_ingest_kbps: int
    suspended: bool
    suspended_reason: str


def limits(plan: Plan, suspension: Suspension | None) -> Limits:
    """The plan's limits, marked when the tenant is suspended."""
    return Limits(
        plan=plan.plan,
        max_streams=plan.max_streams,
        max_live_streams=plan.max_live_streams,
        max_viewers=plan.max_viewers,
        max_ingest_kbps=plan.max_ingest_kbps,
        suspended=suspension is not None,
        suspended_reason=suspension.reason if suspension else "",
    )


def reason(text: str) -> str:
    """A reason fit to be shown; raises BadReason."""
    said = text.strip()
    if not said or len(said) > LONGEST_REASON:
        raise BadReason(f"Say why in 1 to {LONGEST_REASON} characters.")
    return said
