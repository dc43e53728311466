"""Metric names, one file per service, each with what it means and what to do when it moves."""
