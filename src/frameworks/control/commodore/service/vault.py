"""The data key: it seals what must be read again, and gives each other purpose a key of its own."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from frameworks.kit.clock import random_bytes

KEY_BYTES = 32
_NONCE = 12


class WrongDataKey(Exception):
    """What is kept was sealed with another data key: the key file and the database do not belong together."""


class Vault:
    """Seals stream keys (AES-256-GCM), each bound to its id."""

    def __init__(self, data_key: bytes) -> None:
        if len(data_key) != KEY_BYTES:
            raise WrongDataKey(f"the data key has {len(data_key)} bytes instead of {KEY_BYTES}")
        self._data_key = data_key
        self._cipher = AESGCM(self.derive("stream-keys"))

    def derive(self, purpose: str) -> bytes:
        """A key for one purpose, from which the data key can not be found."""
        return HKDF(SHA256(), KEY_BYTES, None, f"frameworks commodore {purpose}".encode()).derive(
            self._data_key
        )

    def seal(self, key_id: UUID, text: str) -> bytes:
        """Encrypt; the result opens under the same id only."""
        nonce = random_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, text.encode(), key_id.bytes)

    def open(self, key_id: UUID, sealed: bytes) -> str:
        """Decrypt; raises WrongDataKey."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], key_id.bytes).decode()
        except InvalidTag as error:
            raise WrongDataKey("a stream key does not open with this data key") from error


def data_key(path: Path) -> bytes:
    """The key in the file, made there when there is none; of several first starts at once, one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{random_bytes(4).hex()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(random_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    return path.read_bytes()
