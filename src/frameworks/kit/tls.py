"""TLS from certificate files: read once at the start, refused with a sentence when they do not fit together."""

import ssl
from dataclasses import dataclass
from pathlib import Path

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
