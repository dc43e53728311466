"""Foghorn's doors: gRPC for nodes and Bridge (`calls`), HTTP for players (`play`)."""
