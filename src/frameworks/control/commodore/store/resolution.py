"""What viewers and publishers ask for, found by public or internal names."""

from uuid import UUID

from frameworks.control.commodore.store import directory
from frameworks.kit.sql import Database


class ResolutionStore:
    """Lookups in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def resolve_playback(self, playback_id: str) -> tuple[UUID, UUID] | None:
        """The tenant and stream of a playback id."""
        return await directory.resolve(self._db, "playback", playback_id)

    async def resolve_internal(self, internal_name: str) -> tuple[UUID, UUID] | None:
        """The tenant and stream of an internal name."""
        return await directory.resolve(self._db, "internal", internal_name)
