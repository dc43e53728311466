"""Periscope keeps the history of streams, viewers and nodes: written from events, read by call.

It promises that every event counts once however often it arrives, that every roll-up equals recomputation from
facts, and that a tenant reads its own history only. It refuses to guess: what has no event has no history.
"""
