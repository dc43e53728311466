"""TLS from certificate files: refused with a sentence when they do not fit together; gRPC notices new ones."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from frameworks.kit import log
from frameworks.kit.config import BadSetting


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A PEM certificate chain and its PEM key."""

    certificate: Path
    key: Path

    @classmethod
    def named(cls, certificate: Path | None, key: Path | None, *, prefix: str) -> "TlsFiles | None":
        """The pair two settings name; None when neither is set. Raises BadSetting when only one is."""
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise BadSetting(f"{prefix}TLS_CERTIFICATE and {prefix}TLS_KEY go together; only one is set.")
        return cls(certificate, key)

    def context(self) -> ssl.SSLContext:
        """A server's context. Raises BadSetting when the files can not be read or do not belong together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise BadSetting(f"TLS: {self.certificate} and {self.key} can not be used: {error}.") from error
        return context


class RenewedCertificate:
    """A gRPC listener's certificate: read again at a handshake after its files changed, kept when they do not fit."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen: tuple[int, ...] = ()
        self._log = log.get("tls")

    def credentials(self) -> grpc.ServerCredentials:
        """What a listener takes. Raises BadSetting when the files can not be used now."""
        self._files.context()
        self._seen = self._stamp()
        renewed: Any = self._renewed  # gRPC takes None for "the same"; its annotations do not say so
        return grpc.dynamic_ssl_server_credentials(self._read(), renewed, False)

    def _renewed(self) -> "grpc.ServerCertificateConfiguration | None":
        """Called at every handshake: a new certificate, or None to go on with the one there is."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            self._files.context()
            read = self._read()
        except (OSError, BadSetting) as error:
            self._log.error("certificate.not_renewed", file=str(self._files.certificate), reason=str(error))
            return None
        self._seen = stamp
        self._log.info("certificate.renewed", file=str(self._files.certificate))
        return read

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pair = self._files.key.read_bytes(), self._files.certificate.read_bytes()
        return grpc.ssl_server_certificate_configuration([pair])

    def _stamp(self) -> tuple[int, ...]:
        found = (file.stat() for file in (self._files.certificate, self._files.key))
        return tuple(part for stat in found for part in (stat.st_mtime_ns, stat.st_ino, stat.st_size))


def channel_credentials(ca: Path) -> grpc.ChannelCredentials:
    """What a channel verifies its peer with. Raises BadSetting when the file holds no certificates."""
    try:
        ssl.create_default_context(cafile=str(ca))
        return grpc.ssl_channel_credentials(ca.read_bytes())
    except (OSError, ssl.SSLError) as error:
        raise BadSetting(f"TLS: {ca} can not be used to verify peers: {error}.") from error
