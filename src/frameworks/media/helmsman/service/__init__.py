"""Helmsman's use cases: publishers, viewers, measurement."""
