"""Foghorn's use cases: keep the picture of the fleet, place viewers and publishers, remember known streams."""
