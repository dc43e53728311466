"""Decklog validates and stamps every event, then makes it durable in the log; it keeps nothing itself.

It promises that an acknowledged event is durable, that a refused one never enters history, and that the
events of one stream (or node) keep their order. It refuses events whose sender may not write them, each singly.
"""
