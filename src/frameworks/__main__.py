"""`python -m frameworks` is the command line."""

from frameworks.cli import main

main()
