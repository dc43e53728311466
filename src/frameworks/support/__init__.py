"""Support services: the web console."""
