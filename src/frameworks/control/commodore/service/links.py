"""Mailed links: their tokens and lifetimes."""

from datetime import timedelta
from uuid import UUID

from frameworks.control.commodore.domain.accounts import (
    RESET_LIFETIME,
    VERIFY_LIFETIME,
    Link,
    LinkKind,
    digest,
)
from frameworks.control.commodore.domain.letters import LetterKind, Mail
from frameworks.kit.clock import Clock, random_text, uuid7

_LIFETIMES: dict[LinkKind, timedelta] = {
    LinkKind.VERIFY: VERIFY_LIFETIME,
    LinkKind.RESET: RESET_LIFETIME,
    LinkKind.CHANGE: VERIFY_LIFETIME,
}


class Links:
    """Makes links and the mails that carry them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self, user_id: UUID, kind: LinkKind, *, new_email: str = "") -> tuple[Link, str]:
        """A link to keep, and the token to mail."""
        now = self._clock.now()
        token = random_text(48)
        link = Link(
            id=uuid7(now),
            user_id=user_id,
            kind=kind,
            token_hash=digest(token),
            new_email=new_email,
            created_at=now,
            expires_at=now + _LIFETIMES[kind],
        )
        return link, token

    def mail(self, kind: LetterKind, to: str, link: Link | None = None, token: str = "") -> Mail:
        """The mail that carries a link, or that merely tells something."""
        expires = link.expires_at if link else self._clock.now() + VERIFY_LIFETIME
        return Mail(kind=kind, to=to, token=token, expires_at=expires)
