"""The simple RTMP handshake (specification §5.2), which every live encoder accepts; no digests."""

from dataclasses import dataclass

from frameworks.media.mist.protocols.rtmp.refusals import EncryptedHandshake

VERSION = 3
PACKET = 1536
NONCE = PACKET - 8
"""Random bytes each side contributes."""


def opening(nonce: bytes) -> bytes:
    """Version and first packet: C0 and C1, or S0 and S1."""
    return bytes([VERSION]) + bytes(8) + nonce[:NONCE].ljust(NONCE, b"\0")


@dataclass(slots=True)
class Handshake:
    """Either side's half: feed bytes until `done`; `rest` is what came after the handshake."""

    _data: bytes = b""
    _echoed: bool = False
    done: bool = False
    rest: bytes = b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes; returns the echo of the peer's first packet once that is complete. Raises a Refusal."""
        self._data += data
        if self._data and self._data[0] != VERSION:
            raise EncryptedHandshake("This is not a plain RTMP handshake; use RTMPS to encrypt.")
        echo = b""
        if not self._echoed and len(self._data) > PACKET:
            self._echoed = True
            echo = self._data[1 : 1 + PACKET]
        if len(self._data) > 2 * PACKET:
            self.done = True
            self.rest, self._data = self._data[1 + 2 * PACKET :], b""
        return echo
