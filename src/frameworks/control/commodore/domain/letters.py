"""Mails to users: which there are, and their words."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class LetterKind(Enum):
    """The occasions we write on."""

    VERIFY = "verify"
    KNOWN = "known"
    RESET = "reset"
    CHANGE = "change"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail to be sent; `token` goes into its link, and after `expires_at` it is not worth sending."""

    kind: LetterKind
    to: str
    token: str = ""
    expires_at: datetime


_PATHS = {
    LetterKind.VERIFY: "/verify?token=",
    LetterKind.KNOWN: "/login",
    LetterKind.RESET: "/reset-password?token=",
    LetterKind.CHANGE: "/confirm-email?token=",
    LetterKind.CHANGED: "/login",
}
_WORDS = {
    LetterKind.VERIFY: (
        "Confirm your e-mail address",
        "Welcome to FrameWorks. Confirm your address to start streaming:\n\n{link}\n\n"
        "The link works once, for 24 hours. If you did not register, ignore this mail.",
    ),
    LetterKind.KNOWN: (
        "You already have an account",
        "Somebody, perhaps you, tried to register with this address, which already has an account. Sign in here:"
        "\n\n{link}\n\nIf you forgot your password, choose a new one there.",
    ),
    LetterKind.RESET: (
        "Choose a new password",
        "Choose a new password here:\n\n{link}\n\nThe link works once, for one hour. If you did not ask for it, "
        "ignore this mail; your password stays as it is.",
    ),
    LetterKind.CHANGE: (
        "Confirm your new e-mail address",
        "Confirm that you want to use this address for your FrameWorks account:\n\n{link}\n\n"
        "The link works once, for 24 hours. If you did not ask for it, ignore this mail.",
    ),
    LetterKind.CHANGED: (
        "Your e-mail address was changed",
        "Your FrameWorks account now uses another address. If this was not you, write to us at once.\n\n{link}",
    ),
}


def words(mail: Mail, public_url: str) -> tuple[str, str]:
    """Subject and text of a mail."""
    subject, text = _WORDS[mail.kind]
    return subject, text.format(link=public_url.rstrip("/") + _PATHS[mail.kind] + mail.token) + "\n"
