"""The mailbox's settings."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read from `MAILBOX_*`."""

    PREFIX: ClassVar[str] = "MAILBOX_"

    port: int = 18033
    """Loopback HTTP port of the list."""

    smtp_port: int = 18025
    """Loopback SMTP port."""

    keep: int = 200
    """How many of the newest mails are kept, in memory."""
