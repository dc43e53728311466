"""helmsman: the node's agent. Asks permission, reports what happens, measures, loses nothing.

It owns one media node's configuration, the write-ahead log of its events and the list of who publishes and watches
there. It promises that an event it answered for reaches Decklog once; it refuses publishers it can not verify.
"""
