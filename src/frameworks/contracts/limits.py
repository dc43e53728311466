"""What an owner reads when a plan's limit ends or refuses something."""

BITRATE_LIMIT = "BITRATE_LIMIT"
VIEWER_LIMIT = "VIEWER_LIMIT"


def bitrate_sentence(allowed_kbps: int, measured_kbps: int) -> str:
    """Why a publisher was cut off that sent more than its plan allows."""
    return (
        f"Your plan allows {allowed_kbps:,} kbit/s; your encoder sent {measured_kbps:,} kbit/s. "
        "Lower its bitrate, or choose a larger plan."
    )


CUT_SENTENCES = {
    "TENANT_SUSPENDED": "The account was suspended. Open Billing to see why.",
    "TENANT_INACTIVE": "The account was closed.",
    "STREAM_DELETED": "The stream was deleted.",
    "KEY_INACTIVE": "The stream key it used was deactivated or replaced.",
    "CLUSTER_NOT_ENTITLED": "The plan does not include this location any more.",
    "SUPERSEDED": "A newer connection took over.",
}
"""Why a publisher on air was cut off, as the end of its stream says."""
