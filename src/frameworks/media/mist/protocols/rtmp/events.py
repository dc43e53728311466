"""What sessions report. Audio and video arrive as `Message`."""

from dataclasses import dataclass
from typing import TypeAlias

from frameworks.kit.errors import Refusal
from frameworks.media.mist.protocols.amf import Value
from frameworks.media.mist.protocols.rtmp.messages import Message


@dataclass(frozen=True, slots=True)
class Connected:
    """The peer named the application it wants, and itself."""

    app: str
    url: str
    encoder: str


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The peer wants to publish. Nothing more is read until the session is told `accept` or `deny`."""

    app: str
    key: str
    url: str
    """The whole push URL, key and query included."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The encoder's `onMetaData`."""

    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """The peer said that it is done."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The session is over: the peer broke a rule, and has been told."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Published:
    """The server accepted our stream: media may be sent."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server refused our stream, or ended it."""

    code: str
    description: str


ServerEvent: TypeAlias = Message | Connected | PublishRequested | Metadata | PublishEnded | Refused
ClientEvent: TypeAlias = Published | Rejected
