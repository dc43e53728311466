"""Use cases of Commodore."""
