"""Framed events in columns: where each lies, of which type it is, what it touches; none is decoded here. Pure."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from frameworks.contracts.topics import EVENT_TYPES
from frameworks.data.periscope.consumers.cutting import Numbers, heads
from frameworks.data.periscope.domain import BUCKET, Span, known_text

UNKNOWN = -1
"""The kind of an event that must be decoded to know its type."""
_ID_HEAD, _TYPE_AT = np.void(b"\n\x10"), 18
_HEADS = {b"\x12%c%b\x19" % (len(name), name.encode()): name for name in EVENT_TYPES}
"""What follows the id in an event whose fields come in order: the type, and the tag of the time.

Everything up to the stream's id then lies at a known place. An event that is laid out otherwise must be decoded.
"""
_WORDS = -(-max(map(len, _HEADS)) // 8)
_HEAD = np.dtype(f"V{8 * _WORDS}")
_TAIL = np.dtype(
    [
        *(("time", "<u8"), ("version_tag", "u1"), ("version", "i1")),
        *(("tenant_tag", "V2"), ("tenant", "V16"), ("stream_tag", "V2"), ("stream", "V16")),
    ]
)
"""What follows the tag of the time."""
_TOUCHED = np.dtype([("kind", "<i2"), ("bucket", "<u8"), ("tenant", "V16"), ("stream", "V16")])
_BLOCK = 64
BEYOND = bytes(_TYPE_AT + _HEAD.itemsize + _TAIL.itemsize)
"""Behind the last event, so that any may be looked at as if it were long enough."""


def _folded(heads: NDArray[np.void]) -> NDArray[np.uint64]:
    """A number for each head, to look it up by; what is found is compared whole."""
    words = heads.view("<u8").reshape(-1, _WORDS)
    folded = words[:, 0]
    for column in range(1, _WORDS):
        folded = folded * np.uint64(0x9E3779B97F4A7C15) ^ words[:, column]
    return folded


def _padded(heads: Sequence[bytes]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(head.ljust(_HEAD.itemsize, b"\0") for head in heads), _HEAD)


_SORTED = sorted(_HEADS, key=lambda head: int(_folded(_padded([head]))[0]))
KINDS = tuple(_HEADS[head] for head in _SORTED)
"""The known types, by number."""
_KNOWN, _FOLDED = _padded(_SORTED), _folded(_padded(_SORTED))
_OWN = {head[1]: b"\xff" * len(head) for head in _HEADS}
_MASKS = _padded([_OWN.get(length, b"") for length in range(256)])
"""By the length of its name, which bytes of a head are its own."""


def is_one_of(names: Collection[str]) -> NDArray[np.bool_]:
    """Of each kind, whether it is one of these; UNKNOWN is none."""
    return np.array([name in names for name in (*KINDS, "")])


class Columns:
    """Framed events, one behind the other."""

    def __init__(self, batches: bytes, sizes: Numbers) -> None:
        """`sizes` are those of all events in the batches, which `framing.join` could have made; BEYOND is behind."""
        self.bytes = batches
        self._raw = np.frombuffer(batches, np.uint8)
        self._framed = sizes + heads(sizes)
        self.ends = np.cumsum(self._framed)
        self.begins = self.ends - sizes
        self._times = self.begins + _TYPE_AT + 3 + self._raw[self.begins + _TYPE_AT + 1]
        """Where the time of each would lie."""
        self.kinds = self._known()
        """The type of each by number, or UNKNOWN."""

    def _known(self) -> NDArray[np.int16]:
        said = _from(self._raw, self.begins + _TYPE_AT, _HEAD)
        lengths = self._raw[self.begins + _TYPE_AT + 1]
        said = (said.view("<u8") & _MASKS[lengths].view("<u8")).view(_HEAD)
        kinds = np.minimum(np.searchsorted(_FOLDED, _folded(said)), len(KINDS) - 1).astype(np.int16)
        known = (_KNOWN[kinds] == said) & (self._times <= self.ends)
        known &= _from(self._raw, self.begins, np.dtype("V2")) == _ID_HEAD
        return np.where(known, kinds, np.int16(UNKNOWN))

    def touched(self, marked: NDArray[np.bool_]) -> tuple[set[Span], Numbers]:
        """What events of these kinds change, and those events that must be decoded to know it."""
        places = np.flatnonzero(marked[self.kinds])
        tails = _from(self._raw, self._times[places], _TAIL)
        clear = (tails["version_tag"] == ord(" ")) & (tails["version"] >= 0)
        clear &= (tails["tenant_tag"] == np.void(b"*\x10")) & (tails["stream_tag"] == np.void(b"2\x10"))
        clear &= self._times[places] + _TAIL.itemsize <= self.ends[places]
        rows = np.empty(np.count_nonzero(clear), _TOUCHED)
        rows["kind"], rows["bucket"] = self.kinds[places[clear]], tails["time"][clear] // BUCKET
        rows["tenant"], rows["stream"] = tails["tenant"][clear], tails["stream"][clear]
        distinct = b"".join(set(rows.view(f"V{_TOUCHED.itemsize}").tolist()))
        spans = {
            (KINDS[kind], tenant, known_text(stream), "", bucket, bucket)
            for kind, bucket, tenant, stream in np.frombuffer(distinct, _TOUCHED).tolist()
        }
        return spans, places[~clear]

    def sorted(self) -> Iterator[tuple[int, memoryview, Numbers]]:
        """By kind that is known by now: its events as they are framed, in order, and which they are."""
        order = np.argsort(self.kinds, kind="stable")
        order = order[np.count_nonzero(self.kinds == UNKNOWN) :]
        frames = _gathered(self._raw, (self.ends - self._framed)[order], self._framed[order]).data
        ends = np.cumsum(self._framed[order]).tolist()
        borders = [*np.flatnonzero(np.diff(self.kinds[order])) + 1, len(order)] if len(order) else []
        first = begin = 0
        for last in map(int, borders):
            end = ends[last - 1]
            yield int(self.kinds[order[first]]), frames[begin:end], order[first:last]
            first, begin = last, end


def _from(raw: NDArray[np.uint8], places: Numbers, kind: "np.dtype[np.void]") -> NDArray[np.void]:
    """What lies at these places, wherever they are."""
    return _anywhere(raw, np.dtype(f"V{kind.itemsize}"))[places].view(kind)


def _anywhere(raw: NDArray[np.uint8], kind: "np.dtype[np.void]") -> NDArray[np.void]:
    """A value for each place that one can begin at."""
    return np.ndarray((max(0, len(raw) - kind.itemsize + 1),), kind, raw, 0, (1,))


def _gathered(raw: NDArray[np.uint8], begins: Numbers, sizes: Numbers) -> NDArray[np.uint8]:
    """These pieces behind one another: whole blocks of them, as many at once as have as many, then the last blocks."""
    ends = np.cumsum(sizes)
    gathered = np.empty(ends[-1] if len(ends) else 0, np.uint8)

    def copy(size: int, into: Numbers, of: Numbers) -> None:
        block = np.dtype(f"V{size}")
        _anywhere(gathered, block)[into] = _anywhere(raw, block)[of]

    blocks = np.where(sizes < _BLOCK, sizes, sizes // _BLOCK * _BLOCK)
    for size in np.unique(blocks).tolist():
        alike = np.flatnonzero(blocks == size)
        copy(size, (ends - sizes)[alike], begins[alike])
    large = np.flatnonzero(sizes > blocks)
    copy(_BLOCK, (ends - _BLOCK)[large], (begins + sizes - _BLOCK)[large])
    return gathered
