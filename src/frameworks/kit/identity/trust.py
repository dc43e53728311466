"""Trust on disk: a root key, one key per service, and the list of public keys that the root signs."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frameworks.kit.clock import random_text
from frameworks.kit.errors import Precondition
from frameworks.kit.identity.keys import (
    BadToken,
    Key,
    key_from_jwk,
    key_from_text,
    key_text,
    new_key,
    public_jwk,
    read,
    sign,
)

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_KEPT = 8
"""Public keys kept per service, so that documents signed before a rotation still verify."""


class NoKey(Precondition):
    """A key that this installation does not have."""

    code = "identity.no_key"


def register_service(directory: Path, name: str) -> None:
    """Make sure that service `name` has a key which the root vouches for; creates the root on first use."""
    TrustStore(directory).register(name)


class TrustStore:
    """The directory `keys/`: `root.key`, `root.pub`, `services/<name>.key` and the signed `bundle.jws`.

    A machine that only verifies needs `root.pub` and `bundle.jws`; one that runs services, their keys too.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bundle = directory / "bundle.jws"

    def register(self, service: str, *, rotate: bool = False) -> None:
        """Give `service` a key and publish its public half; `rotate` replaces it, old tokens stay valid."""
        if not _NAME.fullmatch(service):
            raise ValueError(f"not a service name: {service!r}")
        with self._locked():
            root = self._root()
            path = self._private_path(service)
            if rotate or not path.exists():
                _write(path, key_text(new_key()))
            published = self._published() if self._bundle.exists() else {}
            jwk = public_jwk(self.private_key(service))
            older = [known for known in published.get(service, []) if known != jwk]
            published[service] = [jwk, *older][:_KEPT]
            _write(self._bundle, sign({"services": published}, root, typ="bundle"))

    def private_key(self, service: str) -> Key:
        """The key `service` signs with; raises NoKey when it is not registered here."""
        path = self._private_path(service)
        try:
            return key_from_text(path.read_text())
        except FileNotFoundError as error:
            raise NoKey(
                f"There is no key for {service} in {path.parent}: register the service first."
            ) from error

    def public_keys(self) -> dict[str, list[Key]]:
        """The public keys of every service, newest first, as the root signed them."""
        return {service: [key_from_jwk(jwk) for jwk in jwks] for service, jwks in self._published().items()}

    def stamp(self) -> int:
        """Changes whenever the list of public keys does; 0 while there is none."""
        try:
            return self._bundle.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _published(self) -> dict[str, list[dict[str, Any]]]:
        try:
            root = key_from_text((self._directory / "root.pub").read_text())
            token = self._bundle.read_text()
        except FileNotFoundError as error:
            raise NoKey(f"There is no list of trusted keys in {self._directory}.") from error
        header, claims = read(token, lambda _: root)
        if header.get("typ") != "bundle":
            raise BadToken("The list of trusted keys is of another sort.")
        services: dict[str, list[dict[str, Any]]] = claims["services"]
        return services

    def _root(self) -> Key:
        path, public = self._directory / "root.key", self._directory / "root.pub"
        if not path.exists():
            if public.exists():
                raise NoKey(
                    "The root key is kept elsewhere: services are registered on the machine that has it."
                )
            _write(path, key_text(new_key()))
        root = key_from_text(path.read_text())
        if not public.exists():
            _write(public, json.dumps(public_jwk(root), sort_keys=True))
        return root

    def _private_path(self, service: str) -> Path:
        return self._directory / "services" / f"{service}.key"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        (self._directory / "services").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory.chmod(0o700)
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write(path: Path, text: str) -> None:
    """Replace `path` at once and for good, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{random_text(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
