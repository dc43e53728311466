"""Sockets that take streams in: one file per protocol."""
