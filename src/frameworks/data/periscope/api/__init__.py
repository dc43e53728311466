"""Inbound calls of Periscope, one servicer per family of questions."""
