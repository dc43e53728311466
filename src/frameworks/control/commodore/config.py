"""Settings of Commodore."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read by `module.py` only."""

    PREFIX: ClassVar[str] = "COMMODORE_"

    data_key_file: Path | None = None
    """Holds the key that stream keys are sealed with; made at the first start, in the data directory unless said
    otherwise. Back it up together with the database."""
    smtp: str = "smtp://127.0.0.1:1025"
    """The mail server: smtp[s]://[user:password@]host:port; `?starttls=1` asks for STARTTLS."""
    mail_from: str = "FrameWorks <noreply@localhost>"
    """The sender of mails to users."""
    public_url: str = "http://127.0.0.1:18090"
    """Where people reach the console; links in mails start with it."""
    access_lifetime: timedelta = timedelta(minutes=15)
    """How long an access token is valid."""
    refresh_lifetime: timedelta = timedelta(days=30)
    """How long a session lives without being used."""
    exchange_lifetime: timedelta = timedelta(minutes=5)
    """How long the access token made of an API token is valid; at most five minutes."""
    proof_lifetime: timedelta = timedelta(minutes=10)
    """How long a proof-of-work challenge may be answered."""
    proof_work: int = 50_000
    """The largest number a proof of work may have to be searched for; each doubling doubles the client's work."""
    accounts_per_client: int = 5
    """How many accounts one client may register in 15 minutes."""
    sign_ins_per_client: int = 30
    """How many sign-ins one client may try in 15 minutes."""
    attempts_per_email: int = 10
    """How many sign-ins, and how many mails, one e-mail address may cause in 15 minutes."""
    password_memory_kib: int = 65_536
    """Memory one password hash takes (argon2id); less is faster for attackers too."""
    password_workers: int = 2
    """How many passwords are hashed at the same time; others wait, and are refused when too many do."""
    attribution_lifetime: timedelta = timedelta(hours=24)
    """How long nodes may act on an admission without asking again."""
