"""Reading bit fields and Exp-Golomb numbers out of parameter sets, bounded by what is there."""

from typing import ClassVar

from frameworks.kit.errors import Refusal


class BadConfig(Refusal):
    """A codec configuration record that does not parse, or describes what we do not carry."""

    code: ClassVar = "mist.codec.invalid"


class Bits:
    """A cursor over bits; reading past the end raises BadConfig."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        """The next `count` bits as an unsigned number."""
        if count > self._left:
            raise BadConfig("A codec configuration is cut short.")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def flag(self) -> bool:
        """The next bit."""
        return self.read(1) == 1

    def unsigned(self) -> int:
        """The next ue(v) number, at most 32 bits."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise BadConfig("An Exp-Golomb number is too long.")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """The next se(v) number."""
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def unescaped(nal: bytes) -> bytes:
    """A NAL unit without its emulation prevention bytes (00 00 03 becomes 00 00)."""
    parts = nal.split(b"\0\0\x03")
    return b"\0\0".join(parts)
