"""Signalman's metrics."""

from frameworks.kit.metrics import counter

PUSHED = counter("frameworks_signalman_pushed_total", "Changes handed to the subscribers of their tenant.")
