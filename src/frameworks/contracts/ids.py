"""Identifiers, each a type of its own: a stream key can not be passed for a playback id."""

import re
from typing import NewType

StreamKey = NewType("StreamKey", str)
"""The secret a publisher pushes with: `sk_` and 32 characters. Never logged, never in an event."""
PlaybackId = NewType("PlaybackId", str)
"""What viewers ask for: 16 characters of [a-z0-9]."""
InternalName = NewType("InternalName", str)
"""The opaque name a stream has on nodes: 32 characters of [a-z0-9]; the node's runtime name is `live+<internal>`."""

STREAM_KEY = re.compile(r"sk_[a-z0-9]{32}")
PLAYBACK_ID = re.compile(r"[a-z0-9]{16}")
INTERNAL_NAME = re.compile(r"[a-z0-9]{32}")

LIVE_PREFIX = "live+"


def runtime_name(internal: InternalName) -> str:
    """The name a live stream has on a node."""
    return LIVE_PREFIX + internal


def internal_name(runtime: str) -> InternalName | None:
    """The internal name inside a node's runtime name, or None when it is not one of our live streams."""
    name = runtime.removeprefix(LIVE_PREFIX)
    return InternalName(name) if name != runtime and INTERNAL_NAME.fullmatch(name) else None
