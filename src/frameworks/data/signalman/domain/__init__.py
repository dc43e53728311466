"""Rules of Signalman: changes and who wants them, positions in the log."""
