"""Where the fields of an event's envelope lie in its bytes, so that they can be looked at without decoding.

An event that says its fields once and in order (`proto/events/v1`, as protobuf writes them) begins so; `n` is how many
characters its type has, at most 127:

    at          what
    0           ID_HEAD, and the event's id: 16 bytes
    TYPE_AT     the type's tag, n in one byte, and the type: together with the time's tag it is a `type_head`
    TIME_AT + n the time: 8 bytes, little-endian
    TIME_END + n VERSION_HEAD and one byte of version; TENANT_HEAD and 16 bytes; STREAM_HEAD and 16 bytes: IDS in all

The names follow, then TRACE_HEAD and TRACE digits when there is a trace, the claim, and the payload, whose tag has
PAYLOAD_TAG bytes. An event may lack a stream or be laid out otherwise: whoever looks compares the heads, and decodes
what does not match.
"""

from typing import Final

ID_HEAD: Final = b"\n\x10"
ID_AT: Final = len(ID_HEAD)
TYPE_AT: Final = ID_AT + 16
LENGTH_AT: Final = TYPE_AT + 1
TIME_AT: Final = TYPE_AT + 3
TIME_END: Final = TIME_AT + 8
VERSION_HEAD: Final = b" "
TENANT_HEAD: Final = b"*\x10"
STREAM_HEAD: Final = b"2\x10"
IDS: Final = len(VERSION_HEAD) + 1 + len(TENANT_HEAD) + 16 + len(STREAM_HEAD) + 16
TRACE_HEAD: Final = b"Z\x20"
TRACE: Final = 32
PAYLOAD_TAG: Final = 2
_TYPE_TAG, _TIME_TAG = b"\x12", b"\x19"


def type_head(name: str) -> bytes:
    """What lies between the id and the time of an event of this type."""
    return b"%b%c%b%b" % (_TYPE_TAG, len(name), name.encode(), _TIME_TAG)
