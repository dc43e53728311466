"""Whom Helmsman asks and tells: Commodore, Foghorn, Decklog, Quartermaster, and the media node it drives."""
