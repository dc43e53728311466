"""The command line: start the platform, run parts of it, look at it."""

from frameworks.cli.commands import main

__all__ = ["main"]
