"""Positions: how far a subscriber has followed its tenant, in a form that any replica can resume from.

A vector holds, for each partition of the log, the next event wanted: the offset of its record and the event's index in
it, in one number. A position is that vector as text, sealed to one tenant and one epoch of the log: it says "everything
of this tenant before these". It names places, never a tenant, so that handing one in can only select among one's own.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from uuid import UUID

Vector = tuple[int, ...]

LONGEST = 1024
"""Characters of a position; longer text is none."""
_INDEX_BITS = 20
_INDEX = (1 << _INDEX_BITS) - 1
_FORM = re.compile(
    r"([0-9a-f]{12})-([0-9a-f]{1,16}(?::[0-9a-f]{1,5})?(?:\.[0-9a-f]{1,16}(?::[0-9a-f]{1,5})?)*)"
)


def key(offset: int, index: int = 0) -> int:
    """Where event `index` of the record at `offset` stands in its partition."""
    return offset << _INDEX_BITS | index


def offset_of(place: int) -> int:
    """The offset of the record in which `place` is."""
    return place >> _INDEX_BITS


def seal(epoch: str, partitions: int, tenant: UUID) -> str:
    """What the positions of one tenant in one epoch of the log begin with."""
    told = f"{epoch}|{partitions}|{tenant}".encode()
    return hashlib.blake2s(told, digest_size=6).hexdigest()


def part(place: int) -> str:
    """One component of a position."""
    index = place & _INDEX
    return f"{place >> _INDEX_BITS:x}:{index:x}" if index else f"{place >> _INDEX_BITS:x}"


def write(sealed: str, places: Iterable[int]) -> str:
    """The position of a vector."""
    return f"{sealed}-{'.'.join(map(part, places))}"


def read(text: str, sealed: str, partitions: int) -> Vector | None:
    """The vector of a position; None for another tenant's, another epoch's, or anything else."""
    if len(text) > LONGEST:
        return None
    found = _FORM.fullmatch(text)
    if found is None or found[1] != sealed:
        return None
    places = tuple(_place(component) for component in found[2].split("."))
    return places if len(places) == partitions else None


def _place(component: str) -> int:
    offset, _, index = component.partition(":")
    return key(int(offset, 16), int(index or "0", 16))


def reaches(vector: Sequence[int], other: Sequence[int]) -> bool:
    """Whether `vector` is at or after `other` in every partition."""
    return all(mine >= theirs for mine, theirs in zip(vector, other, strict=True))


def furthest(vector: Sequence[int], other: Sequence[int]) -> Vector:
    """The later of both in each partition."""
    return tuple(map(max, vector, other))
